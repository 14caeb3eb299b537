"""No request waits for ever: what a dependency holds up is answered 503."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.chassis.logging import log
from services.chassis.problems import response, unavailable


class Deadline:
    """ASGI middleware: `seconds` from the last part of the request to the first part of the answer.

    A stream may then go on for as long as it likes. A command that is given up so may have had its
    effects, as one whose answer is lost; its Idempotency-Key makes a repeat harmless.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False
        try:
            async with asyncio.timeout(self._seconds) as limit:

                async def receiving() -> Message:
                    message = await receive()
                    if not begun and not limit.expired():
                        limit.reschedule(asyncio.get_running_loop().time() + self._seconds)
                    return message

                async def sending(message: Message) -> None:
                    nonlocal begun
                    if not limit.expired():
                        begun = True
                        limit.reschedule(None)
                        await send(message)

                await self._app(scope, receiving, sending)
        except TimeoutError:
            if begun:
                raise
            log.warning("request_given_up", route=getattr(scope.get("route"), "path", "unknown"))
            await response(unavailable("a dependency"))(scope, receive, send)
