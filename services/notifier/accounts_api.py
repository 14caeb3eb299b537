"""How our accounts stand with their providers, as this replica knows it; never their secrets."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from schemas.common import Channel
from schemas.envelope import rfc3339
from services.chassis.auth import Role, requires
from services.chassis.clock import Clock
from services.notifier.standing import Standing
from services.notifier.standings import Standings


class ShownAccount(BaseModel):
    """One account that is sent from."""

    provider: str
    account: str
    channel: Channel
    inbox: str
    state: Literal["ok", "resting", "paused"]
    """`resting`: the provider asked for a pause; `paused`: it refuses the account."""
    since: str | None = None
    """When it was paused."""
    code: str | None = None
    """The provider's code of the last refusal."""
    until: str | None = None
    """When it is next tried."""
    rate_per_second: float | None
    burst: int | None


class ShownAccounts(BaseModel):
    """All of them; never more than a page."""

    items: list[ShownAccount]
    next_cursor: None = None


def routes(standings: Standings, clock: Clock) -> APIRouter:
    """Return the route that lists the accounts, for admins."""
    router = APIRouter()

    @router.get("/v1/accounts", dependencies=[Depends(requires(Role.ADMIN))])
    async def list_accounts() -> ShownAccounts:
        now = clock()
        return ShownAccounts(items=[shown(each, now) for each in standings.values()])

    return router


def shown(standing: Standing, now: datetime) -> ShownAccount:
    """Return what an admin may see of the account."""
    account, limit = standing.account, standing.pace.limit
    own: dict[str, str | None] = {"state": "ok"}
    if standing.pause is not None:
        since, until = rfc3339(standing.pause.since), rfc3339(standing.pause.probe_at)
        own = {"state": "paused", "since": since, "code": standing.pause.code, "until": until}
    elif standing.resting_until is not None and now < standing.resting_until:
        own = {"state": "resting", "until": rfc3339(standing.resting_until)}
    return ShownAccount.model_validate(
        {
            "provider": account.provider,
            "account": account.account,
            "channel": account.channel,
            "inbox": account.inbox,
            "rate_per_second": limit.per_second if limit else None,
            "burst": limit.burst if limit else None,
            **own,
        }
    )
