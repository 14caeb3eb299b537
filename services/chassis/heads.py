"""Request heads of bounded size and time: uvicorn keeps whatever comes until the head is complete."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
"""A longer request line with its headers is answered 431."""
HEAD_SECONDS = 20.0
"""After so long without a complete head the connection is closed, with 408 if one was begun."""


class BoundedHeads(HttpToolsProtocol):
    """Uvicorn's protocol, with an end to heads that have none."""

    _reading = False
    """A head was begun, and is not complete."""
    _bytes = _chunk = 0
    """Of that head without what came in one piece with its begin, and of the piece being read."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401, D102  (uvicorn's own type)
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._no_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:  # noqa: D102
        super().on_message_begin()
        self._reading, self._bytes = True, -self._chunk

    def on_headers_complete(self) -> None:  # noqa: D102
        self._reading = False
        self._no_timer()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._chunk = len(data)
        super().data_received(data)
        if not self._reading:
            return
        self._bytes += self._chunk
        if self._bytes > HEAD_BYTES:
            self._end(b"431 Request Header Fields Too Large")
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _late(self) -> None:
        self._end(b"408 Request Timeout")

    def _end(self, status: bytes) -> None:
        self._no_timer()
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._reading and not answering:
            head = b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head)
        self.transport.close()

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
