"""HTTP routes: parse, authorise, call."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from schemas.common import Identifier
from services.chassis.audit import about
from services.chassis.auth import Agent, Lead, Principal, Role
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.identifiers import InvalidIdentifier, identifier, parse_identifier
from services.chassis.pages import Limit, page
from services.chassis.problems import invalid, moved, not_found
from services.identity import metrics
from services.identity.answers import once
from services.identity.commands import Commands, Patch
from services.identity.domain.attributes import Source
from services.identity.domain.claims import key
from services.identity.domain.merging import united
from services.identity.inputs import CustomerInput, CustomerPatch, IdentifierInput, MergeInput
from services.identity.merges import Merges
from services.identity.store import Store, words
from services.identity.views import customer_view, merge_view

Short = Annotated[str | None, Query(max_length=1200)]


@dataclass
class Parts:
    """What the routes call."""

    store: Store
    commands: Commands
    merges: Merges
    once: Once
    default_region: str

    async def homes(self, customer_id: str) -> list[str]:
        """Return a Customer and all whom they stand for. Raises Problem 404; 308 for one who was absorbed."""
        found = [profile.customer_id for profile in await self.store.family(customer_id)]
        if not found:
            raise not_found(f"the Customer {customer_id}")
        if found[0] != customer_id:
            raise moved("customer", customer_id, found[0])
        return found

    async def shown(self, survivor: str) -> dict[str, Any]:
        """Return a Customer as the API shows them, with all whom they stand for."""
        return customer_view(united((await self.store.families([survivor]))[survivor]))


def routes(parts: Parts) -> APIRouter:
    """Return identity's routes."""
    router = APIRouter()
    router.include_router(_reads(parts))
    router.include_router(_customers(parts))
    router.include_router(_identifiers(parts))
    router.include_router(_merges(parts))
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
        # an absorbed Customer is found by what is known of them, and shown as who stands for them
        query = {"$and": [{"erased_at": None}, *(asked or [{"merged_into": None}])]}
        order = ("created_at", "_id")
        found = await page(
            store.customers, query, order, limit, cursor, lambda row: row["_id"], without=("outbox",)
        )
        survivors = await store.survivors(found["items"])
        families = await store.families(list(dict.fromkeys(survivors[each] for each in found["items"])))
        for survivor in families:
            about(survivor)
        return {**found, "items": [customer_view(united(family)) for family in families.values()]}

    @router.get("/v1/customers/{customer_id}")
    async def customer(_: Agent, customer_id: str) -> dict[str, Any]:
        survivor = (await store.survivors([customer_id])).get(customer_id)
        if survivor is None:
            raise not_found(f"the Customer {customer_id}")
        if survivor != customer_id:
            raise moved("customer", customer_id, survivor)
        return await parts.shown(customer_id)

    return router


async def _owner(parts: Parts, written: str) -> str | None:
    try:
        wanted = key(parse_identifier(written, parts.default_region))
    except InvalidIdentifier as error:
        raise invalid("identifier", str(error)) from None
    owners = await parts.store.owners([wanted])
    return owners[wanted].survivor if owners else None


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
            patch = Patch(body.name or None, body.attributes, _source(parts, caller))
            made = await parts.commands.create(command, patch, list(identifiers.values()))
            about(made.customer_id)
            metrics.CUSTOMERS_CREATED.labels("agent").inc()
            return Answer(201, await parts.shown(made.customer_id))

        return await once(parts.once, request, caller, body.model_dump(), run)

    @router.patch("/v1/customers/{customer_id}")
    async def patch(request: Request, caller: Agent, customer_id: str, body: CustomerPatch) -> Response:
        name = (body.name or "") if "name" in body.model_fields_set else None

        async def run(command: UUID) -> Answer:
            patch = Patch(name, body.attributes, _source(parts, caller))
            await parts.commands.patch(customer_id, command, patch)
            about(customer_id, fields=", ".join(_fields(body)))
            metrics.COMMANDS.labels("patch").inc()
            return Answer(200, await parts.shown(customer_id))

        return await once(parts.once, request, caller, body.model_dump(exclude_unset=True), run)

    return router


def _identifiers(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/v1/customers/{customer_id}/identifiers")

    @router.post("", status_code=201)
    async def attach(request: Request, caller: Agent, customer_id: str, body: IdentifierInput) -> Response:
        wanted = _read(body, parts.default_region)

        async def run(command: UUID) -> Answer:
            _, status = await parts.commands.attach(customer_id, command, wanted)
            metrics.COMMANDS.labels("attach").inc()
            return Answer(status, await parts.shown(customer_id))

        return await once(parts.once, request, caller, body.model_dump(), run)

    @router.delete("/{kind}/{value:path}")
    async def detach(request: Request, caller: Agent, customer_id: str, kind: str, value: str) -> Response:
        gone = _read(IdentifierInput.model_construct(kind=kind, value=value), parts.default_region)

        async def run(command: UUID) -> Answer:
            await parts.commands.detach(customer_id, command, gone)
            metrics.COMMANDS.labels("detach").inc()
            return Answer(200, await parts.shown(customer_id))

        return await once(parts.once, request, caller, None, run)

    return router


def _merges(parts: Parts) -> APIRouter:
    router = APIRouter(prefix="/v1/merges")

    @router.post("", status_code=201)
    async def merge(request: Request, caller: Lead, body: MergeInput) -> Response:
        async def run(command: UUID) -> Answer:
            done = await parts.merges.merge(command, body.survivor, body.absorbed, by=caller.subject)
            about(done.survivor, absorbed=done.absorbed, merge=done.id)
            about(done.absorbed, survivor=done.survivor, merge=done.id)
            metrics.COMMANDS.labels("merge").inc()
            return Answer(201, merge_view(done))

        return await once(parts.once, request, caller, body.model_dump(), run)

    @router.get("/{merge_id}")
    async def shown(_: Agent, merge_id: str) -> dict[str, Any]:
        found = await parts.store.find_merge(merge_id)
        if found is None:
            raise not_found(f"the merge {merge_id}")
        return merge_view(found)

    @router.post("/{merge_id}/undo")
    async def undo(request: Request, caller: Lead, merge_id: str) -> Response:
        async def run(command: UUID) -> Answer:
            undone = await parts.merges.undo(command, merge_id)
            about(undone.survivor, absorbed=undone.absorbed, merge=undone.id)
            about(undone.absorbed, survivor=undone.survivor, merge=undone.id)
            metrics.COMMANDS.labels("undo").inc()
            return Answer(200, merge_view(undone))

        return await once(parts.once, request, caller, None, run)

    return router


def _source(parts: Parts, caller: Principal) -> Source:
    kind = "system" if Role.SERVICE in caller.roles else "agent"
    return Source(f"{kind}:{caller.subject}", parts.commands.clock())


def _fields(body: CustomerPatch) -> list[str]:
    named = ["name"] if "name" in body.model_fields_set else []
    return [*named, *(f"attributes.{name}" for name in sorted(body.attributes))]


def _read(item: IdentifierInput, region: str, within: str = "") -> Identifier:
    try:
        return identifier(item.kind.strip(), item.value, region)
    except InvalidIdentifier as error:
        field = "kind" if str(error).startswith("unknown kind") else "value"
        raise invalid(f"{within}{field}", str(error)) from None
