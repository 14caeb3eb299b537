"""Parley's public API, as its Agents and a lead use it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import httpx

from deploy.local.simulator.behaviour import Mode
from deploy.local.stack import Stack
from deploy.local.token import issue
from deploy.local.webhooks import Webhook

LEAD = "lea"
_POLL_SECONDS = 0.1
_SLOW_SECONDS = 1.5
_QUARANTINED = re.compile(r"^parley_ingest_quarantined_items_total\{[^}]*\} ([0-9.]+)", re.MULTILINE)

Json = dict[str, Any]
T = TypeVar("T")


class ApiError(Exception):
    """The API refused something that the day needs. The text says what it answered."""

    @classmethod
    def of(cls, answer: httpx.Response) -> Self:
        """Return what the answer says, and to what."""
        asked = answer.request
        return cls(f"{asked.method} {asked.url.path}: {answer.status_code} {answer.text[:300]}")


class Desk:
    """Calls the API; reads as a lead, acts as whoever is asked for."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self._stack = stack
        self._http = http

    async def customer(self, identifier: str) -> str | None:
        """Return the id of the Customer known by `identifier` (`sms:+1…`)."""
        found = await self._get("/identity/v1/customers", identifier=identifier)
        return str(found["items"][0]["id"]) if found["items"] else None

    async def conversation(self, customer: str) -> Json | None:
        """Return the Customer's Conversation that is not closed."""
        found = await self._get("/conversation/v1/conversations", customer=customer)
        return next((each for each in found["items"] if each["status"] != "closed"), None)

    async def agent_of(self, conversation: str) -> str:
        """Return who has the Conversation, or had it when it was closed; empty for nobody."""
        found = await self._get(f"/conversation/v1/conversations/{conversation}")
        return str(found["agent"] or "")

    async def timeline(self, customer: str, since: datetime) -> list[Json]:
        """Return the messages and calls recorded since then, newest first."""
        items: list[Json] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._get(f"/conversation/v1/customers/{customer}/timeline", limit="200", **cursor)
            items += [item for item in page["items"] if item["kind"] in {"message", "call"}]
            if not page["next_cursor"] or datetime.fromisoformat(page["items"][-1]["at"]) < since:
                return [item for item in items if datetime.fromisoformat(item["received_at"]) >= since]
            cursor = {"cursor": page["next_cursor"]}

    async def sent_to(self, address: str) -> list[Json]:
        """Return what the simulated providers sent to `address`, oldest first."""
        answer = await self._http.get("/dev/providers/sent")
        return [entry for entry in answer.json() if entry["to"] == address]

    async def quarantined(self) -> float:
        """Return how many items ingest has put aside."""
        answer = await self._http.get("/ingest/metrics")
        return sum(map(float, _QUARANTINED.findall(answer.text)))

    async def behave(self, provider: str, mode: Mode) -> None:
        """Let the provider behave so at its next request."""
        order = {"provider": provider, "mode": mode, "count": 1, "seconds": _SLOW_SECONDS}
        self._good(await self._http.post("/dev/providers/behaviour", json=order))

    async def lay_down(self, name: str, data: bytes, content_type: str) -> None:
        """Let the simulated providers have a file."""
        headers = {"Content-Type": content_type}
        self._good(await self._http.put(f"/dev/providers/media/{name}", content=data, headers=headers))

    async def post(self, webhook: Webhook) -> httpx.Response:
        """Make the request that comes from outside."""
        return await self._http.post(webhook.path, content=webhook.body, headers=dict(webhook.headers))

    async def told(self, webhook: Webhook) -> Json:
        """Make it and return what is answered; raises ApiError unless that is 2xx."""
        return self._good(await self.post(webhook))

    async def ask(self, agent: str, method: str, path: str, body: Json) -> httpx.Response:
        """Give a command as `agent`."""
        return await self._http.request(method, path, json=body, headers=self._bearer(agent))

    async def act(self, agent: str, method: str, path: str, body: Json) -> Json:
        """Give a command as `agent`; raises ApiError unless it is answered 2xx."""
        return self._good(await self.ask(agent, method, path, body))

    async def _get(self, path: str, **params: str) -> Json:
        return self._good(await self._http.get(path, params=params, headers=self._bearer(LEAD)))

    @staticmethod
    def _good(answer: httpx.Response) -> Json:
        if not answer.is_success:
            raise ApiError.of(answer)
        result: Json = answer.json() if answer.content else {}
        return result

    def _bearer(self, agent: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {issue(self._stack, agent, datetime.now(UTC))}"}


async def eventually(
    look: Callable[[], Awaitable[T]], enough: Callable[[T], bool], seconds: float, poll: float = _POLL_SECONDS
) -> T:
    """Return what `look` gives once it is `enough`, or when `seconds` are over."""
    deadline = asyncio.get_running_loop().time() + seconds
    found = await look()
    while not enough(found) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(poll)
        found = await look()
    return found
