"""HTTP routes: parse, authorise, call."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from schemas.common import Identifier
from services.chassis.auth import Agent, Principal
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.identifiers import InvalidIdentifier, identifier, parse_identifier
from services.chassis.pages import Limit, page
from services.chassis.problems import conflict, invalid, not_found, unavailable
from services.identity import metrics
from services.identity.commands import (
    BusyError,
    Commands,
    NotTheirsError,
    Patch,
    TakenError,
    UnknownCustomerError,
)
from services.identity.domain.claims import key
from services.identity.domain.profile import Profile, TooMuchError
from services.identity.inputs import CustomerInput, CustomerPatch, IdentifierInput
from services.identity.later import later
from services.identity.store import Store, profile_of, words
from services.identity.views import customer_view

Short = Annotated[str | None, Query(max_length=1200)]


@dataclass
class Parts:
    """What the routes call."""

    store: Store
    commands: Commands
    once: Once
    default_region: str


def routes(parts: Parts) -> APIRouter:
    """Return identity's routes."""
    router = APIRouter()
    router.include_router(_reads(parts))
    router.include_router(_customers(parts))
    router.include_router(_identifiers(parts))
    router.include_router(later())
    return router


def _reads(parts: Parts) -> APIRouter:
    router = APIRouter()
    store = parts.store

    @router.get("/v1/customers")
    async def customers(
        _: Agent,
        identifier: Short = None,
        q: Annotated[str | None, Query(max_length=200)] = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        asked: list[dict[str, Any]] = []
        if identifier is not None:
            owner = await _owner(parts, identifier)
            if owner is None:
                return {"items": [], "next_cursor": None}
            asked.append({"_id": owner})
        asked += [{"words": {"$regex": f"^{re.escape(word)}"}} for word in words(q or "")]
        return await page(
            store.customers,
            {"$and": [{"erased_at": None}, *asked]},
            ("created_at", "_id"),
            limit,
            cursor,
            lambda row: customer_view(profile_of(row)),
            without=("outbox",),
        )

    @router.get("/v1/customers/{customer_id}")
    async def customer(_: Agent, customer_id: str) -> dict[str, Any]:
        found = (await store.load([customer_id]))[customer_id].profile
        if not found.exists:
            raise not_found(f"the Customer {customer_id}")
        return customer_view(found)

    return router


async def _owner(parts: Parts, written: str) -> str | None:
    try:
        wanted = key(parse_identifier(written, parts.default_region))
    except InvalidIdentifier as error:
        raise invalid("identifier", str(error)) from None
    owners = await parts.store.owners([wanted])
    return owners[wanted].customer_id if owners else None


def _customers(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/customers", status_code=201)
    async def create(request: Request, caller: Agent, body: CustomerInput) -> Response:
        identifiers = {
            key(known): known
            for number, item in enumerate(body.identifiers)
            for known in [_read(item, parts.default_region, f"identifiers.{number}.")]
        }

        async def run(command: UUID) -> Answer:
            patch = Patch(body.name or None, body.attributes)
            made = await parts.commands.create(command, patch, list(identifiers.values()))
            metrics.CUSTOMERS_CREATED.labels("agent").inc()
            return Answer(201, customer_view(made))

        return await _once(parts, request, caller, body.model_dump(), run)

    @router.patch("/v1/customers/{customer_id}")
    async def patch(request: Request, caller: Agent, customer_id: str, body: CustomerPatch) -> Response:
        name = (body.name or "") if "name" in body.model_fields_set else None

        async def run(command: UUID) -> Answer:
            changed = await parts.commands.patch(customer_id, command, Patch(name, body.attributes))
            metrics.COMMANDS.labels("patch").inc()
            return Answer(200, customer_view(changed))

        return await _once(parts, request, caller, body.model_dump(exclude_unset=True), run)

    return router


def _identifiers(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/v1/customers/{customer_id}/identifiers")

    @router.post("", status_code=201)
    async def attach(request: Request, caller: Agent, customer_id: str, body: IdentifierInput) -> Response:
        wanted = _read(body, parts.default_region)

        async def run(command: UUID) -> Answer:
            changed, status = await parts.commands.attach(customer_id, command, wanted)
            metrics.COMMANDS.labels("attach").inc()
            return Answer(status, customer_view(changed))

        return await _once(parts, request, caller, body.model_dump(), run)

    @router.delete("/{kind}/{value:path}")
    async def detach(request: Request, caller: Agent, customer_id: str, kind: str, value: str) -> Response:
        gone = _read(IdentifierInput.model_construct(kind=kind, value=value), parts.default_region)

        async def run(command: UUID) -> Answer:
            changed: Profile = await parts.commands.detach(customer_id, command, gone)
            metrics.COMMANDS.labels("detach").inc()
            return Answer(200, customer_view(changed))

        return await _once(parts, request, caller, None, run)

    return router


def _read(item: IdentifierInput, region: str, within: str = "") -> Identifier:
    try:
        return identifier(item.kind.strip(), item.value, region)
    except InvalidIdentifier as error:
        field = "kind" if str(error).startswith("unknown kind") else "value"
        raise invalid(f"{within}{field}", str(error)) from None


async def _once(
    parts: Parts, request: Request, caller: Principal, body: object, run: Callable[[UUID], Awaitable[Answer]]
) -> Response:
    """Run a command once, and say in HTTP's words why it could not be."""

    async def saying(command: UUID) -> Answer:
        try:
            return await run(command)
        except TakenError as error:
            detail = f"the identifier {key(error.identifier)} belongs to the Customer {error.customer_id}"
            raise conflict(detail, kind="identifier-taken") from None
        except UnknownCustomerError:
            raise not_found(f"the Customer {request.path_params['customer_id']}") from None
        except NotTheirsError:
            raise not_found("the identifier of this Customer") from None
        except TooMuchError as error:
            raise invalid(error.field, error.detail) from None
        except BusyError:
            raise unavailable("the Customer, changed by many at once,") from None

    return await parts.once.once(request, caller.subject, body, saying)
