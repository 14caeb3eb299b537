"""Errors that reach people, as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.chassis.faults import DEPENDENCY_ERRORS, is_transient
from services.chassis.logging import log

TYPE_BASE = "https://parley.example/problems/"


class Problem(Exception):  # noqa: N818  (RFC 9457's own word)
    """An answer other than success. `detail` says what happened, to which value, and what to do."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        kind: str | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        state: str | None = None,
        more: Mapping[str, object] | None = None,
        moved: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.moved = moved
        """Which id in the request's path leads to which other."""
        self.status = status
        self.headers = dict(headers or {})
        self.body: dict[str, object] = {
            "type": TYPE_BASE + kind if kind else "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            **({"errors": list(errors)} if errors else {}),
            **({"state": str(state)} if state else {}),
            **(more or {}),
        }


def not_found(what: str) -> Problem:
    """404: it does not exist, or the caller may not see it."""
    return Problem(404, "Not Found", f"{what} does not exist, or you may not see it")


def moved(what: str, from_id: str, to_id: str) -> Problem:
    """308: `what` goes on under another id; the caller sends the same request there.

    `Location` is made by whoever answers the request: its own path with the id exchanged.
    """
    return Problem(
        308,
        "Permanent Redirect",
        f"the {what} {from_id} was merged into {to_id}",
        more={f"{what}_id": to_id},
        moved=(from_id, to_id),
    )


def conflict(
    detail: str,
    *,
    kind: str | None = None,
    state: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Problem:
    """409: the state does not allow it; `detail` names the state, and `state` is it alone.

    `more` are members of the document beside RFC 9457's.
    """
    return Problem(409, "Conflict", detail, kind=kind, state=state, more=more)


def invalid(field: str, message: str) -> Problem:
    """422: one field is wrong."""
    return Problem(
        422, "Unprocessable Content", f"{field}: {message}", errors=[{"field": field, "message": message}]
    )


def unavailable(what: str) -> Problem:
    """503: a dependency is down; the same request may work later."""
    return Problem(
        503, "Service Unavailable", f"{what} is not available; try again", headers={"Retry-After": "2"}
    )


def not_yet(what: str) -> Problem:
    """501: part of the contract, not built yet."""
    return Problem(501, "Not Implemented", f"{what} is not available in this version")


def response(problem: Problem) -> JSONResponse:
    """Return the problem as an HTTP response."""
    return JSONResponse(
        problem.body, problem.status, headers=problem.headers, media_type="application/problem+json"
    )


def wording(item: Mapping[str, Any]) -> str:
    """Return what is wrong in one of pydantic's errors; of our own checks without its prefix."""
    return str(item["msg"]).removeprefix("Value error, ")


def _field(item: Mapping[str, Any]) -> str:
    """Return the field's path; of a body that is no JSON the place is a position, and not asked for."""
    if item["type"] == "json_invalid":
        return "body"
    return ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0])


def _location(request: Request, from_id: str, to_id: str) -> str:
    """Return the request's own address, with one id in its path exchanged for another."""
    path = request.url.path.split("/")
    parts = [quote(to_id, safe="") if unquote(part) == from_id else part for part in path]
    return "/".join(parts) + (f"?{request.url.query}" if request.url.query else "")


def install(app: FastAPI) -> None:
    """Let `app` answer every error as a problem."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> JSONResponse:
        answer = response(error)
        if error.moved is not None:
            answer.headers["Location"] = _location(request, *error.moved)
        return answer

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if "json" not in request.headers.get("content-type", "") and any(
            item["loc"] == ("body",) for item in error.errors()
        ):
            return response(invalid("Content-Type", "must be application/json for a JSON body"))
        errors = [
            {
                "field": _field(item),
                "message": wording(item),
            }
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
        return response(Problem(422, "Unprocessable Content", detail, errors=errors))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        detail = str(error.detail)
        if error.status_code == 404:  # noqa: PLR2004  (HTTP's own number)
            detail = f"there is no {request.method} {request.url.path} here"
        return response(Problem(error.status_code, str(error.detail), detail, headers=error.headers))

    @app.exception_handler(Exception)
    async def on_fault(request: Request, error: Exception) -> JSONResponse:
        return fault(getattr(request.scope.get("route"), "path", "unknown"), error)

    for (
        kind
    ) in DEPENDENCY_ERRORS:  # named, they are answered and done with; Exception's handler raises them on
        app.exception_handler(kind)(on_fault)


def fault(route: str, error: Exception) -> JSONResponse:
    """Answer an exception: 503 for a dependency that is down; a bug is logged, and its text not shown."""
    if is_transient(error):
        log.warning("dependency_down", route=route, error=type(error).__name__)
        return response(unavailable("a dependency"))
    log.error("request_failed", route=route, error=type(error).__name__, exc_info=error)
    return response(Problem(500, "Internal Server Error", "the request failed; it has been logged"))
