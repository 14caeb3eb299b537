"""Limits of what comes before a message's first request: files are read and uploaded in time and in room."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from services.notifier.channels.sending import refused_for_size


class Room:
    """Bytes of files that may be held at a time; who asks first is served first."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Wait until there is room. `size` must not be above the whole room's."""
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._serve()
            else:
                self.give(size)
            raise

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._free += size
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif size <= self._free:
                self._waiting.popleft()
                self._free -= size
                turn.set_result(None)
            else:
                return


class Preparing:
    """Implements sending.Preparation for one message.

    Its first request is made only when nothing is being prepared.
    """

    def __init__(self, room: Room, most_bytes: int, seconds: float, request_seconds: float) -> None:
        """`seconds` is for all that is prepared, `request_seconds` for what comes after it."""
        self._room, self._most_bytes = room, most_bytes
        self._seconds, self._request_seconds = seconds, request_seconds
        self._depth, self._taken = 0, 0
        self._until = 0.0

    @property
    def under_way(self) -> bool:
        """Whether the message is still being prepared, so that no request for it has left."""
        return self._depth > 0

    @asynccontextmanager
    async def limited(self) -> AsyncIterator[None]:
        """Limit what is done inside, and give its room back. Raises TimeoutError."""
        now = asyncio.get_running_loop().time()
        self._until = now + self._seconds
        try:
            async with asyncio.timeout_at(now + self._request_seconds) as self._limit:
                yield
        finally:
            self._room.give(self._taken)
            self._taken = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """What is left of the time serves the request, too: with files it takes longer to leave."""
        self._depth += 1
        self._limit.reschedule(self._until)
        yield  # what fails inside leaves it under way
        self._depth -= 1
        if not self._depth:
            self._limit.reschedule(self._until + self._request_seconds)

    async def room(self, size: int) -> None:
        """Wait for room for so many bytes. Raises Refused when that is too much for one message."""
        if self._taken + size > self._most_bytes:
            raise refused_for_size(self._most_bytes)
        await self._room.take(size)
        self._taken += size
