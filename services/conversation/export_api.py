"""All that conversation holds of a Customer, as JSON."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from services.chassis.attachments import Attachments, document_of
from services.chassis.auth import Lead
from services.chassis.exports import Homes, exported, found
from services.chassis.mongo import Database

_FILES_AT_ONCE = 500
_OURS = ("outbox", "partition", "next_due", "version", "seq")
"""Of a thread: how it is kept."""


@dataclass
class Export:
    """Reads it, a collection after the other; nothing is held in memory."""

    database: Database
    attachments: Attachments

    def of(self, homes: Sequence[str]) -> dict[str, AsyncIterator[Any]]:
        """Return its parts."""
        theirs, database = {"$in": list(homes)}, self.database
        return {
            "threads": found(database["threads"], {"_id": theirs}, _OURS),
            "conversations": found(
                database["conversations"], {"$or": [{"home": theirs}, {"customer_id": theirs}]}
            ),
            "timeline": found(database["timeline"], {"home": theirs}),
            "tickets": found(database["tickets"], {"home": theirs}),
            "tasks": found(database["tasks"], {"home": theirs}),
            "files": self._files(homes),
        }

    async def _files(self, homes: Sequence[str]) -> AsyncIterator[Any]:
        ids: list[str] = []
        rows = self.database["timeline"].find({"home": {"$in": list(homes)}}, {"attachments.id": 1})
        async for row in rows:
            ids += [each["id"] for each in row.get("attachments") or () if "id" in each]
            if len(ids) >= _FILES_AT_ONCE:
                for file in (await self.attachments.find(ids)).values():
                    yield document_of(file)
                ids.clear()
        for file in (await self.attachments.find(ids)).values():
            yield document_of(file)


def routes(export: Export) -> APIRouter:
    """Return the route, which identity calls on behalf of a lead."""
    router = APIRouter()

    @router.get("/v1/customers/{customer_id}/export")
    async def export_customer(_: Lead, customer_id: str, homes: Homes = []) -> StreamingResponse:  # noqa: B006  (FastAPI copies it)
        """Give all that conversation holds of the Customer, and of those named as `home` too."""
        return exported(export.of(homes or [customer_id]))

    return router
