"""A client of the public API that spreads its requests over replicas, as a load balancer does."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx

from deploy.local.webhooks import Webhook
from tests.system.site import Site

Json = dict[str, Any]
LEAD = "lea"
_INSIST_SECONDS = 90.0
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout)


@dataclass(frozen=True, slots=True)
class Posted:
    """A webhook that was answered at last. `tried_at` is the first try, `answered_at` the last answer."""

    status: int
    tried_at: datetime
    answered_at: datetime
    tries: int
    seconds: float
    """How long the last try took."""


@dataclass
class Client:
    """Calls the next replica of the service that a path names; passes over those that take no connection."""

    site: Site
    http: httpx.AsyncClient
    _turns: dict[str, Iterator[int]] = field(default_factory=lambda: defaultdict(itertools.count))

    async def send(
        self, method: str, path: str, *, by: str | None = None, replica: int | None = None, **options: Any
    ) -> httpx.Response:
        """Make one request, as `by`; raises httpx.TransportError when no replica takes it."""
        headers = dict(options.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {self.site.token(by)}"
        refused: Exception | None = None
        for base in self._bases(path, replica):
            try:
                return await self.http.request(method, base + path, headers=headers, **options)
            except _NO_CONNECTION as error:
                refused = error
        raise refused or httpx.ConnectError("no replica")

    def _bases(self, path: str, replica: int | None) -> list[str]:
        service = path.split("/")[1]
        bases = self.site.bases[service]
        if replica is not None:
            return [bases[replica]]
        first = next(self._turns[service]) % len(bases)
        return [*bases[first:], *bases[:first]]

    async def get(self, path: str, *, by: str = LEAD, replica: int | None = None, **params: Any) -> Json:
        """Return the JSON of a GET that must succeed; one that dies or waits is passed over."""
        deadline = monotonic() + _INSIST_SECONDS
        while True:
            try:
                answer = await self.send("GET", path, by=by, replica=replica, params=params)
            except httpx.TransportError:
                if monotonic() > deadline:
                    raise
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or monotonic() > deadline:
                    break
            await asyncio.sleep(0.1)
        assert answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:500]}"
        found: Json = answer.json()
        return found

    async def act(
        self, by: str, method: str, path: str, body: Any = None, *, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """Give a command once."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.send(method, path, by=by, json=body, headers=headers, **options)

    async def insist(
        self, by: str, method: str, path: str, body: Any = None, *, seconds: float = _INSIST_SECONDS
    ) -> httpx.Response:
        """Give a command under one Idempotency-Key until it is answered by other than a fault of ours."""
        key, deadline = uuid4().hex, monotonic() + seconds
        while True:
            try:
                answer = await self.act(by, method, path, body, key=key)
            except httpx.TransportError as error:
                failure = repr(error)
            else:
                if answer.status_code < 500:
                    return answer
                failure = f"{answer.status_code} {answer.text[:300]}"
            if monotonic() > deadline:
                raise AssertionError(f"{method} {path} as {by} after {seconds:g} s: {failure}")
            await asyncio.sleep(0.2)

    async def webhook(
        self, webhook: Webhook, *, replica: int | None = None, retry_seconds: float = 0.0
    ) -> Posted:
        """Post it, again and again as a provider does until it is answered 2xx or the time is up."""
        first, deadline, tries = datetime.now(UTC), monotonic() + retry_seconds, 0
        while True:
            began, tries = monotonic(), tries + 1
            try:
                answer = await self.send(
                    "POST", webhook.path, replica=replica, headers=webhook.headers, content=webhook.body
                )
                status = answer.status_code
            except httpx.TransportError:
                status = 0
            now = monotonic()
            if 200 <= status < 300 or now >= deadline:
                return Posted(status, first, datetime.now(UTC), tries, now - began)
            await asyncio.sleep(0.25)

    # --- what the desk looks at -------------------------------------------------------------------

    async def customers(self, identifier: str) -> list[str]:
        """Return the ids of the Customers known by `identifier` (`sms:+1…`)."""
        found = await self.get("/identity/v1/customers", identifier=identifier)
        return [item["id"] for item in found["items"]]

    async def conversations(self, customer: str) -> list[Json]:
        """Return all Conversations of the Customer."""
        return await self.everything("/conversation/v1/conversations", customer=customer)

    async def conversation(self, conversation: str) -> Json:
        """Return one Conversation."""
        return await self.get(f"/conversation/v1/conversations/{conversation}")

    async def timeline(self, customer: str) -> list[Json]:
        """Return the whole timeline, newest first; nothing while conversation does not know the Customer."""
        path = f"/conversation/v1/customers/{customer}/timeline"
        if (await self.send("GET", path, by=LEAD)).status_code == 404:
            return []
        return await self.everything(path)

    async def messages(self, identifier: str) -> list[Json]:
        """Return the messages on the timeline of whoever is known by `identifier`, newest first."""
        items = [
            item for customer in await self.customers(identifier) for item in await self.timeline(customer)
        ]
        return [item for item in items if item["kind"] == "message"]

    async def sent(self) -> list[Json]:
        """Return what the simulated providers were asked to send."""
        answer = await self.http.get(f"{self.site.simulator}/dev/providers/sent")
        found: list[Json] = answer.json()
        return found

    async def everything(self, path: str, **params: Any) -> list[Json]:
        """Return all items of a list, over all its pages."""
        items: list[Json] = []
        page: Json = {"next_cursor": None}
        while True:
            more = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = await self.get(path, limit=200, **params, **more)
            items += page["items"]
            if not page["next_cursor"]:
                return items


@asynccontextmanager
async def client_of(site: Site, timeout: float = 30.0) -> AsyncIterator[Client]:  # noqa: ASYNC109  (of each request)
    """Give a client whose connections are closed at the end; a request fails after `timeout` seconds."""
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
    async with httpx.AsyncClient(trust_env=False, timeout=timeout, limits=limits) as http:
        yield Client(site, http)
