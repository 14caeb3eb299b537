"""Routes of suggestions."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, Response

from schemas.common import Identifier, IdentifierKind
from schemas.envelope import rfc3339
from services.chassis.auth import Agent
from services.chassis.mongo import Document
from services.chassis.problems import invalid
from services.identity.domain.likeness import WEIGHTS, Signal, Suggestion
from services.identity.suggestions import Suggestions
from services.identity.views import identifier_view

Homes = Callable[[str], Awaitable[Sequence[str]]]
"""Returns a Customer and all whom they stand for. Raises Problem 404, or 308 for one who was absorbed."""


def routes(suggesting: Suggestions, homes: Homes) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/customers/{customer_id}/suggestions")

    @router.get("")
    async def suggestions(_: Agent, customer_id: str) -> dict[str, Any]:
        """Return likely duplicates, the most likely first, with the reason and a score from 0 to 1.

        `claimed` is what the Customer merely said to be theirs.
        """
        together = await homes(customer_id)
        found = await suggesting.of(together)
        claimed = [_claim(row) for row in await suggesting.claims_of(together)]
        return {"items": [_view(each) for each in found], "next_cursor": None, "claimed": claimed}

    @router.post("/{other}/dismiss", status_code=204)
    async def dismiss(caller: Agent, customer_id: str, other: str) -> Response:
        """Say that these are two people: not suggested again until something new points to it."""
        if other in await homes(customer_id):
            raise invalid("other", "is this same Customer")
        await homes(other)
        await suggesting.dismiss(customer_id, other, caller.subject)
        return Response(status_code=204)

    return router


def _view(suggestion: Suggestion) -> dict[str, Any]:
    return {
        "customer_id": suggestion.customer_id,
        "name": suggestion.name,
        "reason": suggestion.reason,
        "score": suggestion.score,
        "evidence": [_evidence(each) for each in suggestion.signals],
    }


def _claim(row: Document) -> dict[str, Any]:
    return {
        **_identifier(row["identifier"]),
        "source": row["source"],
        "first_at": rfc3339(row["first_at"]),
        "last_at": rfc3339(row["last_at"]),
    }


def _identifier(written: str) -> dict[str, Any]:
    kind, _, value = written.partition(":")
    shown = identifier_view(Identifier(kind=IdentifierKind(kind), value=value))
    return {name: shown[name] for name in ("kind", "value")}


def _evidence(signal: Signal) -> dict[str, Any]:
    return {
        "reason": signal.reason,
        "weight": WEIGHTS[signal.reason],
        "identifier": _identifier(signal.identifier) if signal.identifier else None,
        "seen_at": rfc3339(signal.at) if signal.at else None,
        "source": signal.source,
    }
