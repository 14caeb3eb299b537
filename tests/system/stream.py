"""A reader of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx

Json = dict[str, Any]


@dataclass
class Heard:
    """What a stream has told so far."""

    events: list[tuple[str, Json]] = field(default_factory=list)
    """Name and data."""
    times: list[float] = field(default_factory=list)
    """When each came, by `monotonic()`."""
    places: list[str] = field(default_factory=list)
    """The value for `Last-Event-ID` after each event."""
    ended: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, name: str, data: Json, place: str) -> None:
        """Take in an event."""
        self.events.append((name, data))
        self.times.append(monotonic())
        self.places.append(place)
        self._news.set()

    def named(self, name: str) -> list[Json]:
        """Return the data of the events of that name."""
        return [data for each, data in self.events if each == name]

    def ids(self) -> list[str]:
        """Return the ids of the events that happened (not `ready`, `reset`)."""
        return [data["id"] for name, data in self.events if name not in {"ready", "reset"}]

    async def until(self, enough: Callable[["Heard"], object], seconds: float = 30.0) -> None:
        """Wait for events; fails, listing them, after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not enough(self):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not heard after {seconds:g} s, but: {self.events}") from None


@asynccontextmanager
async def listening(url: str, token: str, last_event_id: str | None = None) -> AsyncIterator[Heard]:
    """Follow the stream at `url` while the block runs. It is open, and has begun, when the block starts."""
    heard = Heard()
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    timeout = httpx.Timeout(10, read=60)
    async with (
        httpx.AsyncClient(trust_env=False, timeout=timeout) as http,
        http.stream("GET", url, headers=headers) as answer,
    ):
        assert answer.status_code == 200, f"{answer.status_code} {(await answer.aread())[:300]!r}"
        reading = asyncio.create_task(_read(answer.aiter_lines(), heard))
        try:
            if last_event_id is None:
                await heard.until(lambda so_far: so_far.named("ready"))
            yield heard
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


async def _read(lines: AsyncIterator[str], heard: Heard) -> None:
    name = data = place = ""
    async for line in lines:
        field_name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                heard.add(name, json.loads(data), place)
            name = data = ""
        elif field_name == "event":
            name = value
        elif field_name == "data":
            data += value
        elif field_name == "id":
            place = value
    heard.ended = True
