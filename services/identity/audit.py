"""The audit trail of each Customer, from what every service notes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from schemas.audit import AuditEntry
from schemas.envelope import rfc3339
from services.chassis.audit import Action, Actions
from services.chassis.auth import Lead
from services.chassis.delivery import HANDLED, Delivery, Outcome
from services.chassis.mongo import Database, Document, bulk
from services.chassis.pages import Limit, page

_CUSTOMER = "/v1/customers/{customer_id}"
ACTIONS: Actions = {
    ("GET", "/v1/customers"): Action("customer.found"),
    ("POST", "/v1/customers"): Action("customer.created"),
    ("GET", _CUSTOMER): Action("customer.viewed"),
    ("PATCH", _CUSTOMER): Action("customer.changed"),
    ("DELETE", _CUSTOMER): Action("customer.erased"),
    ("POST", f"{_CUSTOMER}/identifiers"): Action("identifier.added"),
    ("DELETE", f"{_CUSTOMER}/identifiers/{{kind}}/{{value:path}}"): Action("identifier.removed", ("kind",)),
    ("GET", f"{_CUSTOMER}/suggestions"): Action("suggestions.viewed"),
    ("POST", f"{_CUSTOMER}/suggestions/{{other}}/dismiss"): Action("suggestion.dismissed", ("other",)),
    ("GET", f"{_CUSTOMER}/export"): Action("customer.exported"),
    ("GET", f"{_CUSTOMER}/audit"): Action("audit.viewed"),
    ("POST", "/v1/merges"): Action("customers.merged"),
    ("POST", "/v1/merges/{merge_id}/undo"): Action("merge.undone", ("merge_id",)),
}


class Audit:
    """Keeps entries for good. They hold ids only, so an erasure leaves them."""

    def __init__(self, database: Database) -> None:
        self._entries = database["audit"]

    async def prepare(self) -> None:
        """Create the index that they are read by."""
        places = [("customer_id", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]
        await self._entries.create_indexes([IndexModel(places, name="by_customer")])

    async def learn(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Consumer of `audit.entries`."""
        await self.keep([delivery.message for delivery in batch])
        return [HANDLED] * len(batch)

    async def keep(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries; those that are there stay as they are."""
        await bulk(
            self._entries,
            [
                UpdateOne({"_id": str(entry.id)}, {"$setOnInsert": _document(entry)}, upsert=True)
                for entry in entries
            ],
        )

    async def of(self, homes: Sequence[str], limit: int, cursor: str | None) -> dict[str, Any]:
        """Return a page, newest first, of what concerns these Customers."""
        query = {"customer_id": {"$in": list(homes)}}
        return await page(self._entries, query, ("at", "_id"), limit, cursor, _view)


def routes(
    audit: Audit,
    homes: Callable[[str], Awaitable[Sequence[str]]],
) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.get("/v1/customers/{customer_id}/audit")
    async def trail(
        _: Lead, customer_id: str, limit: Limit = 50, cursor: str | None = None
    ) -> dict[str, Any]:
        """Return who saw and changed what of the Customer, newest first."""
        return await audit.of(await homes(customer_id), limit, cursor)

    return router


def _document(entry: AuditEntry) -> Document:
    return {"customer_id": entry.customer_id, "at": entry.occurred_at, **entry.data.model_dump()}


def _view(row: Document) -> dict[str, Any]:
    shown = {name: row[name] for name in ("actor", "action", "service", "what", "customer_id")}
    return {"id": row["_id"], "at": rfc3339(row["at"]), **shown}
