"""The route by which a person is erased."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from schemas.envelope import rfc3339
from services.chassis.auth import Admin
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.problems import not_found, unavailable
from services.identity import metrics
from services.identity.erasing import Erasing
from services.identity.errors import BusyError, UnknownCustomerError


def routes(erasing: Erasing, once: Once) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.delete("/v1/customers/{customer_id}", status_code=202)
    async def erase(request: Request, caller: Admin, customer_id: str) -> Response:
        """Erase the person who is this Customer, and all Customers merged with it; 404 once they are."""

        async def run(command: UUID) -> Answer:
            try:
                erasure = await erasing.erase(customer_id, command)
            except UnknownCustomerError:
                raise not_found(f"the Customer {customer_id}") from None
            except BusyError:
                raise unavailable("the Customer, changed by many at once,") from None
            metrics.COMMANDS.labels("erase").inc()
            return Answer(202, {"erased_at": rfc3339(erasure.at)})

        return await once.once(request, caller.subject, None, run)

    return router
