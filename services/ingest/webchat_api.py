"""Routes for chat visitors: a session, and messages and files under its token. Public, so limited in rate."""

import math
import time
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from schemas.envelope import rfc3339
from schemas.ids import derive
from schemas.signals import VisitorTyping
from services.chassis.accounts import Account
from services.chassis.attachments import Attachments, File
from services.chassis.attachments import visitors as visitors_files
from services.chassis.auth import Visitor, authenticator, unauthorized
from services.chassis.auth import visitor as bearer_of_visitor
from services.chassis.body import read_body
from services.chassis.faults import is_transient
from services.chassis.idempotency import idempotency_key
from services.chassis.problems import Problem, invalid, not_found, not_yet, unavailable, wording
from services.chassis.time_limit import Limit
from services.chassis.uploads import keep, read_upload
from services.ingest.channels import webchat
from services.ingest.channels.shapes import read_json
from services.ingest.handlers import Intake
from services.ingest.limits import RateLimit, UploadLimits
from services.ingest.settings import IngestSettings
from services.ingest.taking import counted, published
from services.ingest.visitors import VisitorRecord, Visitors
from services.ingest.webhook import BadItem

_LIMIT_BYTES = 1_000_000
_SIGNALS_BURST, _SIGNALS_PER_MINUTE = 30, 60
_BASE = "/v1/webchat/{account}"
_LATER = frozenset({"rating"})
Body = TypeVar("Body", bound=BaseModel)
Result = TypeVar("Result")


def build_router(
    intake: Intake, visitors: Visitors, attachments: Attachments, settings: IngestSettings
) -> APIRouter:
    """Return the visitors' routes."""
    router = APIRouter()
    sessions = RateLimit(settings.webchat_sessions_burst, settings.webchat_sessions_per_minute)
    slow = Limit(settings.body_timeout_seconds)
    messages = RateLimit(settings.webchat_messages_burst, settings.webchat_messages_per_minute)
    uploads = UploadLimits(settings)

    @router.post(f"{_BASE}/sessions", status_code=201, openapi_extra=webchat.schema(webchat.SessionRequest))
    async def start_session(account: str, request: Request) -> Response:
        with counted(webchat.PROVIDER):
            widget = _widget(intake, account)
            _spare(sessions, _address(request))
            asked = await _body(request, webchat.SessionRequest, slow)
            visitor = await _started(visitors, asked, widget, intake)
            tokens = authenticator(request).visitors
            token = tokens.issue(widget.account, visitor.visitor_id, visitor.expires_at)
            expires_at = rfc3339(visitor.expires_at)
            return JSONResponse(
                {"visitor_id": visitor.visitor_id, "token": token, "expires_at": expires_at}, 201
            )

    @router.post(f"{_BASE}/messages", status_code=202, openapi_extra=webchat.schema(webchat.ChatMessage))
    async def post_message(account: str, request: Request) -> Response:
        with counted(webchat.PROVIDER):
            widget = _widget(intake, account)
            visitor = await _visitor(request, widget)
            _spare(messages, visitor.visitor_id)
            arrival = intake.arrival(widget)
            posted = await _body(request, webchat.ChatMessage, slow)
            known = await _known(visitors, visitor)
            identifiers, name = (known.identifiers, known.name) if known else ((), None)
            ids = [str(each.id) for each in posted.attachments]
            files = await _files(attachments, visitor, ids, arrival.received_at)
            given = tuple(file.attachment() for file in files)
            claimed = known.claimed_email if known else None
            item = webchat.message(posted, visitor.visitor_id, identifiers, name, arrival, given, claimed)
            await published(webchat.PROVIDER, arrival, lambda: intake.publish([item], arrival))
            await _kept(attachments.use(files))
            return JSONResponse({"message_id": item.id}, 202)

    @router.post(f"{_BASE}/attachments", status_code=201)
    async def upload(account: str, request: Request) -> Response:
        """Take a file of the visitor's, as the body or in a form."""
        with counted(webchat.PROVIDER):
            visitor = await _visitor(request, _widget(intake, account))
            _spare(uploads.visitors, visitor.visitor_id)
            _spare(uploads.addresses, _address(request))
            file_id, owner = (
                _file_id(request, visitor, intake),
                visitors_files(visitor.account, visitor.visitor_id),
            )
            sent = await read_upload(request, settings, slow)
            _spare(uploads.bytes, _address(request), len(sent.data))
            file = await _kept(
                keep(
                    sent,
                    file_id=file_id,
                    owner=owner,
                    attachments=attachments,
                    settings=settings,
                    at=intake.clock(),
                )
            )
            return JSONResponse(file.attachment().shown(), 201)

    router.include_router(_signs(intake, slow))

    @router.post(f"{_BASE}/{{action}}", summary="rating: in a later version")
    async def later(account: str, action: str, request: Request) -> Response:
        with counted(webchat.PROVIDER):
            await _visitor(request, _widget(intake, account))
            if action not in _LATER:
                raise not_found(f"the action {action!r}")
            raise not_yet(f"POST …/{action}")

    return router


def _signs(intake: Intake, slow: Limit) -> APIRouter:
    """What a visitor's browser tells besides words: typing, and how far they have read."""
    router = APIRouter()
    signals = RateLimit(_SIGNALS_BURST, _SIGNALS_PER_MINUTE)

    @router.post(f"{_BASE}/typing", status_code=204, openapi_extra=webchat.schema(webchat.Typing))
    async def post_typing(account: str, request: Request) -> Response:
        with counted(webchat.PROVIDER):
            widget = _widget(intake, account)
            visitor = await _visitor(request, widget)
            _spare(signals, visitor.visitor_id)
            asked = await _body(request, webchat.Typing, slow)
            await _told(intake, webchat.typing(asked, visitor.visitor_id, intake.arrival(widget)))
            return Response(status_code=204)

    @router.post(f"{_BASE}/read", status_code=204, openapi_extra=webchat.schema(webchat.Read))
    async def post_read(account: str, request: Request) -> Response:
        with counted(webchat.PROVIDER):
            widget = _widget(intake, account)
            visitor = await _visitor(request, widget)
            _spare(signals, visitor.visitor_id)
            asked, arrival = await _body(request, webchat.Read, slow), intake.arrival(widget)
            item = webchat.read(asked, visitor.visitor_id, arrival)
            await published(webchat.PROVIDER, arrival, lambda: intake.publish([item], arrival))
            return Response(status_code=204)

    return router


async def _told(intake: Intake, signal: VisitorTyping) -> None:
    try:
        await intake.signal(signal)
    except Exception as error:
        if is_transient(error):
            raise unavailable("the message log") from error
        raise


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _widget(intake: Intake, account: str) -> Account:
    found = intake.accounts.find(webchat.PROVIDER, account)
    if found is None:
        raise not_found("the web chat account")
    return found


async def _visitor(request: Request, widget: Account) -> Visitor:
    visitor = await bearer_of_visitor(request)
    if visitor.account != widget.account:
        raise Problem(403, "Forbidden", f"the token is for the widget {visitor.account}")
    return visitor


async def _started(
    visitors: Visitors, asked: webchat.SessionRequest, widget: Account, intake: Intake
) -> VisitorRecord:
    try:
        return await visitors.start(asked, widget, intake.clock())
    except webchat.BadIdentityToken as error:
        raise unauthorized(str(error)) from None
    except Exception as error:
        if is_transient(error):
            raise unavailable("the visitors' store") from error
        raise


async def _files(attachments: Attachments, visitor: Visitor, ids: list[str], at: datetime) -> list[File]:
    """Return the visitor's own uploads. Raises Problem 422 for another's, or none at all."""
    if not ids:
        return []
    files = await _kept(attachments.own(visitors_files(visitor.account, visitor.visitor_id), ids, at))
    if files is None:
        raise invalid("attachments", "must be ids of files that this visitor has uploaded")
    return files


def _file_id(request: Request, visitor: Visitor, intake: Intake) -> UUID:
    """Return the id of an upload: the same for the same Idempotency-Key. Raises Problem 422."""
    key = idempotency_key(request)
    if key is None:
        return intake.new_id()
    return derive("upload", visitor.account, visitor.visitor_id, key)


async def _kept(work: Awaitable[Result]) -> Result:
    try:
        return await work
    except Exception as error:
        if is_transient(error):
            raise unavailable("the store of files") from error
        raise


async def _known(visitors: Visitors, visitor: Visitor) -> VisitorRecord | None:
    try:
        return await visitors.known(visitor.visitor_id)
    except Exception as error:
        if is_transient(error):
            raise unavailable("the visitors' store") from error
        raise


async def _body(request: Request, model: type[Body], limit: Limit) -> Body:
    """Read and validate the body; 422 names each wrong field, 413 and 408 as for webhooks."""
    raw = await read_body(request.headers, request.receive, _LIMIT_BYTES, limit)
    try:
        return model.model_validate(read_json(raw) if raw.strip() else {})
    except BadItem:
        raise Problem(422, "Unprocessable Content", "the body is not JSON") from None
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Problem:
    errors: list[dict[str, str]] = [
        {
            "field": ".".join(map(str, item["loc"])) or "body",
            "message": wording(item),
        }
        for item in error.errors(include_input=False, include_url=False)
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return Problem(422, "Unprocessable Content", detail, errors=errors)


def _spare(limit: RateLimit, caller: str, tokens: int = 1) -> None:
    wait = limit.wait_seconds(caller, time.monotonic(), tokens)
    if wait:
        headers: dict[str, Any] = {"Retry-After": str(math.ceil(wait))}
        raise Problem(429, "Too Many Requests", f"try again in {math.ceil(wait)} seconds", headers=headers)
