"""All services behind one address: requests go by the first segment of their path."""

import asyncio
from collections.abc import Iterable, Mapping

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

STOP_SECONDS = 12.0


class OneOrigin:
    """An ASGI application made of one application a service.

    `/` lists `services`, or those `listed` that are reached at this address by other means; `others`
    (the simulator) are served, and not listed.
    """

    def __init__(
        self,
        services: Mapping[str, FastAPI],
        others: Mapping[str, FastAPI],
        listed: Iterable[str] | None = None,
    ) -> None:
        self._apps: dict[str, ASGIApp] = {**services, **others}
        self._listed = [_entry(name) for name in (services if listed is None else listed)]
        self._root = Starlette(
            routes=[Route("/", self._list)], exception_handlers={404: _unknown, 405: _not_allowed}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request over."""
        first = str(scope.get("path", "")).split("/", 2)[1:2]
        await self._apps.get(first[0] if first else "", self._root)(scope, receive, send)

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"services": self._listed})


def _entry(name: str) -> dict[str, str]:
    return {
        "name": name,
        "openapi": f"/{name}/openapi.json",
        "health": f"/{name}/readyz",
        "liveness": f"/{name}/livez",
        "metrics": f"/{name}/metrics",
    }


async def _unknown(_: Request, __: Exception) -> Response:
    return _problem(404, "Not Found", "paths start with the name of a service; GET / lists them")


async def _not_allowed(_: Request, __: Exception) -> Response:
    return _problem(405, "Method Not Allowed", "here only GET is understood")


def _problem(status: int, title: str, detail: str) -> Response:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(content, status, media_type="application/problem+json")


class Lifespans:
    """Starts applications and stops them, each in a task of its own as their contexts ask for."""

    def __init__(self, apps: Mapping[str, FastAPI]) -> None:
        self._apps = apps
        self._ends = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all, one after another; raises what one that can't start raises."""
        for app in self._apps.values():
            started = asyncio.Event()
            life = asyncio.create_task(self._live(app, started))
            self._tasks.append(life)
            waiting = asyncio.create_task(_wait(started))
            await asyncio.wait([waiting, life], return_when=asyncio.FIRST_COMPLETED)
            if life.done():
                waiting.cancel()
                life.result()

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop all at once; what has not drained after `seconds` is cut off, and comes again later."""
        self._ends.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self, app: FastAPI, started: asyncio.Event) -> None:
        async with app.router.lifespan_context(app):
            started.set()
            await self._ends.wait()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
