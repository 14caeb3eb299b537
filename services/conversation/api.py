"""HTTP routes: parse, authorise, call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from schemas.conversations import Status
from services.chassis.auth import Agent, AVisitor, Principal, Role
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.pages import Limit, page
from services.chassis.problems import Problem, invalid, not_found, not_yet, response
from services.conversation.access import Access
from services.conversation.commands import Commands
from services.conversation.documents import conversation_of
from services.conversation.domain import lifecycle
from services.conversation.domain.mentions import named
from services.conversation.domain.model import Conversation
from services.conversation.domain.rules import Inboxes
from services.conversation.domain.table import Action
from services.conversation.domain.topics import normalised
from services.conversation.files import Files
from services.conversation.inputs import (
    CloseInput,
    NoteInput,
    PriorityInput,
    ReplyInput,
    TopicsInput,
    TransferInput,
    TypingInput,
)
from services.conversation.permission import Reply
from services.conversation.signals import Signals
from services.conversation.store import Store, any_of
from services.conversation.timeline_store import ORDER
from services.conversation.timeline_store import page as timeline_page
from services.conversation.views import conversation_view, timeline_view, visitor_view

Run = Callable[[UUID], Awaitable[Answer]]


@dataclass
class Parts:
    """What the routes call."""

    store: Store
    access: Access
    commands: Commands
    once: Once
    inboxes: Inboxes
    files: Files
    signals: Signals


def routes(parts: Parts) -> APIRouter:
    """Return conversation's routes."""
    router = APIRouter()
    router.include_router(_reads(parts))
    router.include_router(_words(parts))
    router.include_router(_plain_actions(parts))
    router.include_router(_actions(parts))
    router.include_router(_labels(parts))
    router.include_router(_signals(parts))
    router.include_router(_later())
    return router


def _reads(parts: Parts) -> APIRouter:
    router = APIRouter()
    store = parts.store

    @router.get("/v1/conversations")
    async def conversations(
        caller: Agent,
        status: Status | None = None,
        inbox: str | None = None,
        agent: str | None = None,
        customer: str | None = None,
        topic: str | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        within = None if topic is None else normalised(topic)
        asked = {"status": status, "inbox": inbox, "agent": agent, "topics": within}
        query: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        query |= {"erased": None, "merged": {"$ne": True}}
        if customer is not None:
            query["home"] = any_of(await store.homes(customer))
        own = await parts.access.inboxes(caller)
        if own is not None:
            query = {"$and": [query, {"inbox": {"$in": own}}]}
        place = ("opened_at", "_id")
        found = await page(store.conversations, query, place, limit, cursor, conversation_of)
        shown = await store.with_customers(found["items"])
        return {**found, "items": [conversation_view(each) for each in shown]}

    @router.get("/v1/conversations/{conversation_id}")
    async def conversation(caller: Agent, conversation_id: str) -> dict[str, Any]:
        return conversation_view(await parts.access.conversation(caller, conversation_id))

    @router.get("/v1/customers/{customer_id}/timeline")
    async def timeline(
        caller: Agent,
        customer_id: str,
        conversation: str | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Show all items of a Customer, or those of one Conversation."""
        homes = await parts.access.customer(caller, customer_id)
        latest = await store.latest(customer_id)
        rows, following = await timeline_page(
            store.timeline, homes, latest, limit, cursor, conversation=conversation
        )
        found = {"items": [timeline_view(row) for row in rows], "next_cursor": following}
        return await parts.files.described(found)

    @router.get("/v1/webchat/{account}/messages")
    async def visitor_messages(
        visitor: AVisitor, account: str, limit: Limit = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        if visitor.account != account:
            raise Problem(403, "Forbidden", f"the token is for the widget {visitor.account}")
        own = {"account": account, "address": visitor.visitor_id, "channel": "chat"}
        found = await page(store.timeline, own, ORDER, limit, cursor, visitor_view)
        return await parts.files.described(found)

    return router


def _words(parts: Parts) -> APIRouter:
    router = APIRouter()
    store = parts.store

    @router.post("/v1/conversations/{conversation_id}/replies", status_code=202)
    async def reply(request: Request, caller: Agent, conversation_id: str, body: ReplyInput) -> Response:
        async def run(command: UUID) -> Answer:
            found = await parts.access.conversation(caller, conversation_id)
            return await _sent(
                parts, caller, body, lambda wanted: parts.commands.reply(found, caller, command, wanted)
            )

        return await parts.once.once(request, caller.subject, body.model_dump(mode="json"), run)

    @router.post("/v1/customers/{customer_id}/messages", status_code=202)
    async def message(request: Request, caller: Agent, customer_id: str, body: ReplyInput) -> Response:
        async def run(command: UUID) -> Answer:
            if not await store.knows([customer_id]):
                await parts.commands.wait_for(customer_id)
            await parts.access.customer(caller, customer_id)
            own = await parts.access.inboxes(caller)
            seen = [inbox for name, inbox in parts.inboxes.items() if own is None or name in own]
            return await _sent(
                parts,
                caller,
                body,
                lambda wanted: parts.commands.message(customer_id, caller, command, wanted, seen),
            )

        return await parts.once.once(request, caller.subject, body.model_dump(mode="json"), run)

    @router.post("/v1/conversations/{conversation_id}/notes", status_code=201)
    async def note(request: Request, caller: Agent, conversation_id: str, body: NoteInput) -> Response:
        async def run(command: UUID) -> Answer:
            found = await parts.access.conversation(caller, conversation_id)
            mentions, unknown = await parts.access.mentioned(named(body.text), found.inbox)
            written = await parts.commands.note(found, caller, command, body.text, mentions)
            return Answer(
                201, {"id": str(written), "mentions": list(mentions), "unknown_mentions": list(unknown)}
            )

        return await parts.once.once(request, caller.subject, body.model_dump(mode="json"), run)

    return router


async def _sent(
    parts: Parts, caller: Principal, body: ReplyInput, send: Callable[[Reply], Awaitable[UUID]]
) -> Answer:
    """Send it, and keep its files for good once it is sent; a repeat of the command does so again."""
    files = await parts.files.uploaded(caller, [str(each.id) for each in body.attachments])
    message = await send(replace(body.wanted, attachments=tuple(file.attachment() for file in files)))
    await parts.files.attachments.use(files)
    return Answer(202, {"message_id": str(message)})


def _signals(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/conversations/{conversation_id}/typing", status_code=204)
    async def typing(caller: Agent, conversation_id: str, body: TypingInput | None = None) -> Response:
        found = await parts.access.conversation(caller, conversation_id)
        await parts.signals.typing(found, caller, typing=(body or TypingInput()).typing)
        return Response(status_code=204)

    return router


async def nobody_there(_: Request, _error: Exception) -> JSONResponse:
    """Answer a command to a Customer who was erased while it was under way."""
    return response(not_found("the Customer"))


Act = Callable[[Conversation, Principal, UUID], Awaitable[Conversation]]


async def _act(
    parts: Parts, request: Request, caller: Principal, conversation_id: str, body: object, work: Act
) -> Response:
    async def run(command: UUID) -> Answer:
        found = await parts.access.conversation(caller, conversation_id)
        return Answer(200, conversation_view(await work(found, caller, command)))

    return await parts.once.once(request, caller.subject, body, run)


def _plain_actions(parts: Parts) -> APIRouter:
    """Actions without a body."""
    router = APIRouter(prefix="/v1/conversations/{conversation_id}")
    commands = parts.commands
    table: dict[str, Act] = {
        "take": commands.take,
        "reopen": lambda found, caller, command: commands.change(
            found, command, Action.REOPEN, lambda draft: lifecycle.reopen(draft, agent=caller.subject)
        ),
        "no-reply-needed": lambda found, _, command: commands.change(
            found, command, Action.NO_REPLY_NEEDED, lifecycle.no_reply_needed
        ),
        "unassign": lambda found, _, command: commands.change(
            found, command, Action.UNASSIGN, lifecycle.unassign
        ),
    }

    def route(work: Act) -> Callable[..., Awaitable[Response]]:
        async def endpoint(request: Request, caller: Agent, conversation_id: str) -> Response:
            return await _act(parts, request, caller, conversation_id, None, work)

        return endpoint

    for name, work in table.items():
        router.add_api_route(f"/{name}", route(work), methods=["POST"], name=name)

    @router.post("/contacts/{contact_id}/end")
    async def end_contact(request: Request, caller: Agent, conversation_id: str, contact_id: str) -> Response:
        async def work(found: Conversation, _: Principal, command: UUID) -> Conversation:
            return await commands.end_contact(found, command, contact_id)

        return await _act(parts, request, caller, conversation_id, None, work)

    return router


def _actions(parts: Parts) -> APIRouter:
    """Actions with a body."""
    router = APIRouter(prefix="/v1/conversations/{conversation_id}")
    commands = parts.commands

    @router.post("/close")
    async def close(
        request: Request, caller: Agent, conversation_id: str, body: CloseInput | None = None
    ) -> Response:
        asked = body or CloseInput()

        async def work(found: Conversation, _: Principal, command: UUID) -> Conversation:
            return await commands.close(found, command, confirmed=asked.confirmed)

        return await _act(parts, request, caller, conversation_id, asked.model_dump(), work)

    @router.post("/transfer")
    async def transfer(
        request: Request, caller: Agent, conversation_id: str, body: TransferInput
    ) -> Response:
        if body.force and not caller.may(Role.LEAD):
            raise Problem(403, "Forbidden", "`force` needs the role `lead`")
        if body.inbox is not None and body.inbox not in parts.inboxes:
            raise invalid("inbox", f"{body.inbox} is none of: {', '.join(sorted(parts.inboxes))}")

        async def work(found: Conversation, caller: Principal, command: UUID) -> Conversation:
            if body.agent is not None:
                return await commands.transfer_to_agent(found, command, body.agent, force=body.force)
            return await commands.transfer_to_inbox(found, caller, command, parts.inboxes[str(body.inbox)])

        return await _act(parts, request, caller, conversation_id, body.model_dump(), work)

    return router


def _labels(parts: Parts) -> APIRouter:
    """What Agents mark a Conversation with."""
    router = APIRouter(prefix="/v1/conversations/{conversation_id}")
    commands = parts.commands

    @router.put("/topics")
    async def topics(request: Request, caller: Agent, conversation_id: str, body: TopicsInput) -> Response:
        async def work(found: Conversation, _: Principal, command: UUID) -> Conversation:
            return await commands.change(
                found, command, Action.TOPICS, lambda draft: lifecycle.set_topics(draft, body.topics)
            )

        return await _act(parts, request, caller, conversation_id, body.model_dump(), work)

    @router.put("/priority")
    async def priority(
        request: Request, caller: Agent, conversation_id: str, body: PriorityInput
    ) -> Response:
        async def work(found: Conversation, _: Principal, command: UUID) -> Conversation:
            return await commands.change(
                found, command, Action.PRIORITY, lambda draft: lifecycle.set_priority(draft, body.priority)
            )

        return await _act(parts, request, caller, conversation_id, body.model_dump(), work)

    return router


_LATER = {
    ("GET", "/v1/reports/summary"): "the summary report",
}


def _later() -> APIRouter:
    """Parts of the contract that are not built yet answer 501."""
    router = APIRouter()

    def answering(what: str) -> Callable[[Principal], Awaitable[JSONResponse]]:
        async def later(_: Agent) -> JSONResponse:
            raise not_yet(what)

        return later

    for (method, path), what in _LATER.items():
        router.add_api_route(
            path, answering(what), methods=[method], status_code=501, name=f"{method} {path}"
        )
    return router
