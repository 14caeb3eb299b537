"""Attachments: who may have one, and what a list of messages says of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from schemas import ids
from services.chassis.attachments import Attachments, File, State, agents, visitors
from services.chassis.auth import Agent, Caller, Principal, Visitor
from services.chassis.clock import Clock, utc_now
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.mongo import Document
from services.chassis.problems import invalid, not_found
from services.chassis.serving import pending, served
from services.chassis.time_limit import Limit
from services.chassis.uploads import Upload, keep, read_upload
from services.conversation.access import Access
from services.conversation.settings import ConversationSettings
from services.conversation.store import Store


class Files:
    """Answers who may see a file from the timeline: a file is seen with its message."""

    def __init__(
        self, attachments: Attachments, store: Store, access: Access, clock: Clock = utc_now
    ) -> None:
        self.attachments = attachments
        self._clock = clock
        self._store = store
        self._access = access

    async def of(self, caller: Principal | Visitor, attachment_id: str) -> File:
        """Return a file the caller may see: their own upload, or one of a message they see.

        Raises Problem 404; 409 for a file of a message that nothing is known of yet.
        """
        file = (await self.attachments.find([attachment_id])).get(attachment_id)
        if file is not None and file.owner == _owner(caller):
            return file
        row = await self._store.message_with(attachment_id)
        if row is None:
            raise not_found("the attachment")
        await self._may_see(caller, row)
        if file is None:
            raise pending()
        return file

    async def _may_see(self, caller: Principal | Visitor, row: Document) -> None:
        if isinstance(caller, Visitor):
            theirs = (row.get("channel"), row.get("account"), row.get("address"))
            if theirs != ("chat", caller.account, caller.visitor_id):
                raise not_found("the attachment")
        elif row["conversation_id"] is not None:
            await self._access.seen(caller, row["conversation_id"])
        else:
            await self._access.homes(caller, row["home"])

    async def uploaded(self, caller: Principal, attachment_ids: Sequence[str]) -> list[File]:
        """Return the caller's own uploads; `use` keeps them once a message has them. Raises Problem 422."""
        if not attachment_ids:
            return []
        found = await self.attachments.own(agents(caller.subject), attachment_ids, self._clock())
        if found is None:
            raise invalid("attachments", "must be ids of files that you have uploaded")
        return found

    async def described(self, page: dict[str, Any]) -> dict[str, Any]:
        """Return a page of messages with what is known of their files by now."""
        shown = [each for item in page["items"] for each in item.get("attachments") or ()]
        known = await self.attachments.find(each["id"] for each in shown if "id" in each)
        for each in shown:
            file = known.get(each.get("id"))
            each["status"] = (file.state if file else State.PENDING).value
            if file is not None:
                each.update(file.attachment().shown())
                each.update({"reason": file.reason} if file.reason else {})
        return page


def _owner(caller: Principal | Visitor) -> str:
    if isinstance(caller, Visitor):
        return visitors(caller.account, caller.visitor_id)
    return agents(caller.subject)


def routes(files: Files, once: Once, settings: ConversationSettings, clock: Clock) -> APIRouter:
    """Return the routes of attachments."""
    router = APIRouter()
    slow = Limit(settings.body_timeout_seconds)

    @router.get("/v1/attachments/{attachment_id}")
    async def attachment(caller: Caller, attachment_id: str) -> Response:
        """Give the file to an Agent who sees its message, or to the chat visitor whose it is."""
        return await served(await files.of(caller, attachment_id), files.attachments.blobs)

    @router.post("/v1/attachments", status_code=201)
    async def upload(request: Request, caller: Agent) -> Response:
        """Take a file to be sent with a reply, as the body or in a form."""
        sent = await read_upload(request, settings, slow)
        return await once.once(
            request, caller.subject, _named(sent), _keeping(files, sent, caller, settings, clock)
        )

    return router


def _named(sent: Upload) -> dict[str, str | None]:
    return {"content_type": sent.content_type, "filename": sent.filename, "sha256": sent.digest}


def _keeping(
    files: Files, sent: Upload, caller: Principal, settings: ConversationSettings, clock: Clock
) -> Callable[..., Awaitable[Answer]]:
    async def run(command: object) -> Answer:
        file = await keep(
            sent,
            file_id=ids.derive("upload", command),
            owner=agents(caller.subject),
            attachments=files.attachments,
            settings=settings,
            at=clock(),
        )
        return Answer(201, file.attachment().shown())

    return run
