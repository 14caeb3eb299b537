"""Ways not to answer, for every provider alike."""

from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deploy.local.simulator.behaviour import Mode

_PART, _PARTS = b"x" * 65_536, 8_000
"""Half a gigabyte."""


def spoilt(mode: Mode) -> Response | None:
    """Return what `mode` answers to a message that was sent; None for the provider's own answer."""
    if mode is Mode.LOSE_ANSWER:
        return BrokenAnswer()
    if mode is Mode.GARBAGE:
        return Response(b"\x00<html>\xff{", media_type="application/json")
    return StreamingResponse(_endless(), media_type="application/json") if mode is Mode.HUGE else None


async def _endless() -> AsyncIterator[bytes]:
    yield b'{"sid": "'
    for _ in range(_PARTS):
        yield _PART


class NoAnswer(Response):
    """Keeps the caller waiting until it gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Wait for the disconnect."""
        while (await receive())["type"] != "http.disconnect":
            pass


class BrokenAnswer(Response):
    """Breaks the connection before the answer is complete."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Promise more than is sent; the server then closes the connection."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
