"""All that notifier holds of a Customer, as JSON."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from services.chassis.auth import Lead
from services.chassis.exports import Homes, exported, found
from services.chassis.mongo import Database

_OURS = ("outbox", "version", "claim", "claimed_until", "head", "lane")
"""Of a message: how it is kept."""


def routes(database: Database) -> APIRouter:
    """Return the route, which identity calls on behalf of a lead."""
    router = APIRouter()

    @router.get("/v1/customers/{customer_id}/export")
    async def export_customer(_: Lead, customer_id: str, homes: Homes = []) -> StreamingResponse:  # noqa: B006  (FastAPI copies it)
        """Give messages with what became of them, consents, and what integrators were told."""
        theirs = {"$in": homes or [customer_id]}
        return exported(
            {
                "messages": found(database["sends"], {"home": theirs}, _OURS),
                "consents": found(database["consents"], {"home": theirs}),
                "webhook_deliveries": found(database["posts"], {"customer_id": theirs}, ("lane", "head")),
            }
        )

    return router
