"""All that ingest holds of a Customer: who their chat sessions said they are."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from services.chassis.auth import Lead
from services.chassis.exports import exported, found
from services.chassis.mongo import Collection

MOST_VISITORS = 200
Visitors = Annotated[list[str], Query(alias="visitor", max_length=MOST_VISITORS)]


def routes(visitors: Collection) -> APIRouter:
    """Return the route, which identity calls on behalf of a lead, naming the Customer's visitor ids."""
    router = APIRouter()

    @router.get("/v1/customers/{customer_id}/export")
    async def export_customer(_: Lead, customer_id: str, visitor: Visitors = []) -> StreamingResponse:  # noqa: ARG001, B006  (part of the path; FastAPI copies it)
        """Give what is known of these visitors."""
        return exported({"visitors": found(visitors, {"_id": {"$in": visitor}})})

    return router
