"""What identity's commands are answered with, in HTTP's words."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import Request, Response

from schemas.envelope import rfc3339
from services.chassis.auth import Principal
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.problems import Problem, conflict, invalid, moved, not_found, unavailable
from services.identity import errors
from services.identity.domain.claims import key
from services.identity.domain.profile import TooMuchError


async def once(
    commands: Once,
    request: Request,
    caller: Principal,
    body: object,
    run: Callable[[UUID], Awaitable[Answer]],
) -> Response:
    """Run a command once, and say why it could not be."""

    async def saying(command: UUID) -> Answer:
        try:
            return await run(command)
        except Exception as error:
            problem = _problem(error, request)
            if problem is None:
                raise
            raise problem from None

    return await commands.once(request, caller.subject, body, saying)


def _problem(error: Exception, request: Request) -> Problem | None:
    """Return the problem that an error of ours is; None for what is none of ours."""
    said = _SAID.get(type(error))
    return said(error, request.path_params) if said else None


def _taken(error: errors.TakenError, _: Mapping[str, str]) -> Problem:
    detail = f"the identifier {key(error.identifier)} belongs to the Customer {error.customer_id}"
    return conflict(detail, kind="identifier-taken")


def _disputed(error: errors.DisputedError, _: Mapping[str, str]) -> Problem:
    systems = ", ".join(error.sources)
    detail = f"they have different ids in: {systems}; detach the wrong one before"
    return conflict(detail, kind="external-ids-conflict")


def _same(error: errors.SameCustomerError, _: Mapping[str, str]) -> Problem:
    return conflict(f"both are the Customer {error.customer_id} already", kind="same-customer")


def _undone(error: errors.UndoneError, _: Mapping[str, str]) -> Problem:
    return conflict(f"the merge was undone at {rfc3339(error.at)}", kind="undone")


_SAID: Mapping[type[Exception], Callable[[Any, Mapping[str, str]], Problem]] = {
    errors.TakenError: _taken,
    errors.DisputedError: _disputed,
    errors.SameCustomerError: _same,
    errors.UndoneError: _undone,
    errors.UnknownCustomerError: lambda error, path: not_found(
        f"the Customer {error.customer_id or path['customer_id']}"
    ),
    errors.MovedError: lambda error, _: moved("customer", error.customer_id, error.survivor),
    errors.NotTheirsError: lambda *_: not_found("the identifier of this Customer"),
    errors.UnknownMergeError: lambda _, path: not_found(f"the merge {path['merge_id']}"),
    errors.BusyError: lambda *_: unavailable("the Customer, changed by many at once,"),
    TooMuchError: lambda error, _: invalid(error.field, error.detail),
}
