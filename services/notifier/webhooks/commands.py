"""What people do to subscriptions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx

from schemas import ids
from schemas.hooks import PauseReason
from services.chassis.clock import Clock, utc_now
from services.chassis.outside import Forbidden
from services.chassis.problems import conflict, invalid, not_found, unavailable
from services.notifier.webhooks import rules, signing
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.inputs import WebhookInput, WebhookPatch
from services.notifier.webhooks.intake import Wake
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.rules import Endpoint, EndpointState, Secret

_MOST_TRIES = 20
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
Vet = Callable[[str], Awaitable[None]]
"""Raises Forbidden for a URL that is none we call, OSError for one whose host is not found."""


@dataclass
class Commands:
    """Makes and changes subscriptions."""

    endpoints: Endpoints
    posts: Posts
    vet: Vet
    wake: Wake
    most: int
    grace: timedelta
    clock: Clock = utc_now
    secret: Callable[[], str] = signing.new_secret

    async def create(self, command: UUID, wanted: WebhookInput) -> Endpoint:
        """Make a subscription; the same command makes the same one. Raises Problem 409 and 422."""
        known = await self.endpoints.all()
        own = "wh_" + ids.derive("webhook", command).hex
        if all(endpoint.id != own for endpoint in known):
            if len(known) >= self.most:
                raise conflict(f"there are {len(known)} subscriptions; delete one", state="full")
            await self._vetted(wanted.url)
            now = self.clock()
            await self.endpoints.insert(
                Endpoint(own, wanted.url, _unique(wanted.events), (Secret(self.secret()),), now, now)
            )
        return await self.found(own)

    async def change(self, webhook_id: str, patch: WebhookPatch) -> Endpoint:
        """Change it; a new secret becomes the first of its secrets. Raises Problem 404 and 422."""
        if patch.url is not None:
            await self._vetted(patch.url)
        fresh = self.secret() if patch.rotate_secret else None

        def changed(before: Endpoint) -> Endpoint:
            now = self.clock()
            after = replace(
                before,
                url=patch.url or before.url,
                events=_unique(patch.events or before.events),
                secrets=rules.rotated(before.secrets, fresh, now, self.grace) if fresh else before.secrets,
                updated_at=now,
            )
            if after.url != before.url:  # how the former one did says nothing of it
                after = replace(after, failures=0, failing_since=None, rest_until=None)
            if patch.paused is True and before.state is EndpointState.ACTIVE:
                return rules.paused(after, PauseReason.REQUESTED, now)
            if patch.paused is False and before.state is EndpointState.PAUSED:
                return rules.resumed(after, _name(before))
            return after

        return await self._saved(webhook_id, changed)

    async def replay(self, webhook_id: str, since: datetime) -> Endpoint:
        """Send again all from `since` on, and resume it. Raises Problem 404, 409, 422."""
        if since > self.clock():
            raise invalid("from", "lies in the future")

        def changed(before: Endpoint) -> Endpoint:
            if before.reading is not None and before.state is EndpointState.ACTIVE:
                raise conflict("the log is being read for it already; wait for that", state="reading")
            after = replace(before, updated_at=self.clock())
            return rules.resumed(after, _name(before), max(since, _EARLIEST))

        return await self._saved(webhook_id, changed)

    async def delete(self, webhook_id: str) -> None:
        """Forget it with all that waits for it. Raises Problem 404."""
        if not await self.endpoints.delete(webhook_id):
            raise not_found(f"the webhook subscription {webhook_id}")
        await self.posts.purge(webhook_id)

    async def found(self, webhook_id: str) -> Endpoint:
        """Return it. Raises Problem 404."""
        endpoint = await self.endpoints.get(webhook_id)
        if endpoint is None:
            raise not_found(f"the webhook subscription {webhook_id}")
        return endpoint

    async def _saved(self, webhook_id: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        for _ in range(_MOST_TRIES):
            before = await self.found(webhook_id)
            after = change(before)
            resumes = before.state is EndpointState.PAUSED and after.state is EndpointState.ACTIVE
            if resumes or after.url != before.url:  # first, so that a crash does not lose it
                await self.posts.hasten(webhook_id, anew=True)
            if await self.endpoints.save(before, after):
                await self.endpoints.drain([webhook_id])
                self.wake()
                return await self.found(webhook_id)
        raise unavailable("the subscription is being changed by others; it")

    async def _vetted(self, url: str) -> None:
        try:
            if httpx.URL(url).fragment:
                raise invalid("url", "must not have a fragment")
            await self.vet(url)
        except (Forbidden, httpx.InvalidURL, UnicodeError) as error:
            raise invalid("url", f"is not called: {error}") from error
        except OSError as error:
            raise invalid("url", "its host is not found") from error


def _name(endpoint: Endpoint) -> str:
    """Return the name of what is read after this change of the subscription."""
    return str(ids.derive("webhook.reading", endpoint.id, endpoint.version))


def _unique(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(patterns))
