"""Two ways not to answer, for every provider alike."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


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
