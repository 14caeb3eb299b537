"""A pool as a plain document (of JSON's types) and back."""

from typing import Any, cast

from pydantic import TypeAdapter

from services.router.domain.pool import Pool
from services.router.domain.state import PoolState

_STATE = TypeAdapter(PoolState)


def dump(pool: Pool) -> dict[str, Any]:
    """Return all that has to be kept of the pool."""
    return cast("dict[str, Any]", _STATE.dump_python(pool.state, mode="json"))


def load(document: dict[str, Any]) -> Pool:
    """Return the pool that was dumped; it goes on deciding exactly as the original would."""
    return Pool(_STATE.validate_python(document))
