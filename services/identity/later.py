"""Parts of identity's contract that are not built yet: they answer 501 to whoever may ask."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from services.chassis.auth import Role, requires
from services.chassis.problems import not_yet

_CUSTOMER = "/v1/customers/{_id}"
_LATER = {
    ("GET", f"{_CUSTOMER}/suggestions"): (Role.AGENT, "the list of likely duplicates"),
    ("GET", f"{_CUSTOMER}/audit"): (Role.AGENT, "the audit of a Customer"),
}


def later() -> APIRouter:
    """Return their routes."""
    router = APIRouter()

    def answering(what: str) -> Callable[[], Awaitable[JSONResponse]]:
        async def not_built() -> JSONResponse:
            raise not_yet(what)

        return not_built

    for (method, path), (role, what) in _LATER.items():
        router.add_api_route(
            path,
            answering(what),
            methods=[method],
            status_code=501,
            name=f"{method} {path}",
            dependencies=[Depends(requires(role))],
        )
    return router
