"""Counts and times every request, by route and status."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis import metrics
from services.chassis.faults import is_transient


class Measured:
    """ASGI middleware; a stream is timed to its first byte, since it has no end of its own."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        answered = False

        def observe(status: int) -> None:
            nonlocal answered
            answered = True
            route = getattr(scope.get("route"), "path", "unknown")
            metrics.HTTP_SECONDS.labels(self._service, scope["method"], route, status).observe(
                time.monotonic() - started
            )

        async def observing(message: Message) -> None:
            if message["type"] == "http.response.start":
                observe(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, observing)
        except Exception as error:
            if not answered:  # Starlette answers it outside of all middleware, see `problems.install`
                observe(503 if is_transient(error) else 500)
            raise
