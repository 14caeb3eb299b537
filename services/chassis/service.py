"""One function composes a service: routes, consumers, loops, health, metrics."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import uvicorn
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis import logging, metrics, problems
from services.chassis.audit import Actions, Audited, Trail
from services.chassis.auth import Authenticator
from services.chassis.broker import KafkaPublisher
from services.chassis.deadline import Deadline
from services.chassis.delivery import Consumer
from services.chassis.faults import is_transient
from services.chassis.heads import BoundedHeads
from services.chassis.logging import log
from services.chassis.measured import Measured
from services.chassis.mongo import Database, ping
from services.chassis.sealing import Seals
from services.chassis.settings import Settings
from services.chassis.stage import Stage
from services.chassis.tail import Tail

Step = Callable[[], Awaitable[None]]
CHECK_SECONDS = 3.0
"""Longest wait of `readyz` for one dependency."""
HTTP_DRAIN_SECONDS, LEAVE_SECONDS, CLOSE_SECONDS = 4, 3.0, 2.0
"""A stop: requests are answered, work in flight drains, consumers leave their groups, clients close. With
the drain timeout these are all it takes."""


@dataclass
class Service:
    """What a service consists of."""

    name: str
    settings: Settings
    router: APIRouter
    """Routes without the service's name; it becomes their first segment."""
    publisher: KafkaPublisher
    database: Database
    trail: tuple[Trail, Actions] | None = None
    """Where it is noted who saw and changed what, and what the routes are called there."""
    front: Callable[[ASGIApp], ASGIApp] | None = None
    """Wraps the application: for requests too frequent to go through the framework. It measures its own."""
    consumers: Sequence[Consumer] = ()
    seals: Seals | None = None
    """Opens what the consumers read, where it is sealed."""
    tails: Sequence[Tail] = ()
    on_start: Sequence[Step] = ()
    """Indexes and seeds; repeated until they succeed, before anything is consumed."""
    loops: Sequence[Step] = ()
    """Endless; cancelled at the stop."""
    on_stop: Sequence[Step] = ()
    checks: Mapping[str, Step] = field(default_factory=dict)
    """Further readiness checks; raising means not ready."""
    stages: dict[str, Stage] = field(default_factory=dict)
    """The running consumers, by topic; further ones of the same topic by group."""
    prepared: bool = False
    failed: bool = False
    """A consumer or loop ended by an error: a bug that only a restart may get past."""

    def __post_init__(self) -> None:
        for consumer in self.consumers:
            name = consumer.topic.name
            self.stages[name if name not in self.stages else consumer.group] = Stage(
                consumer, self.settings, self.publisher, seals=self.seals
            )


class _Application(FastAPI):
    """FastAPI with something before it."""

    front: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.front or self.framework)(scope, receive, send)

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request through FastAPI's middleware and routes."""
        await super().__call__(scope, receive, send)


def build(service: Service) -> FastAPI:
    """Return the service's ASGI application."""
    prefix = f"/{service.name}"
    app = _Application(
        title=f"Parley {service.name}",
        lifespan=lambda _: _lifespan(service),
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.authenticator = Authenticator(service.settings)
    problems.install(app)
    if service.trail is not None:
        trail, actions = service.trail
        app.add_middleware(Audited, trail=trail, prefix=prefix, actions=actions)
    app.add_middleware(Deadline, seconds=service.settings.request_timeout_seconds)
    app.add_middleware(Measured, service=service.name)
    app.include_router(service.router, prefix=prefix)
    health = _health(service)
    app.include_router(health, prefix=prefix, include_in_schema=False)
    app.include_router(health, include_in_schema=False)
    if service.front is not None:
        app.front = service.front(app.framework)
    return app


class _Server(uvicorn.Server):
    """Ends with code 0 when it was asked to stop; uvicorn's own would die of the signal it has heeded."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def serve(build_app: Callable[[], FastAPI], settings: Settings) -> None:
    """Run the service alone until SIGINT or SIGTERM.

    Then no connection is taken any more, streams end, requests in flight are answered, and what is
    consumed is finished and committed.
    """
    logging.configure(settings.log_level)
    server = _Server(
        uvicorn.Config(
            lambda: _settled(build_app()),
            factory=True,  # composed inside the loop it runs in
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            http=BoundedHeads,
            forwarded_allow_ips=settings.forwarded_allow_ips,
            timeout_graceful_shutdown=HTTP_DRAIN_SECONDS,
        )
    )
    server.run()
    if not server.started:
        sys.exit("the service did not start")


def _settled(app: FastAPI) -> FastAPI:
    """Return `app`; what was made up to here stays, so the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
    return app


@asynccontextmanager
async def _lifespan(service: Service) -> AsyncIterator[None]:
    main = asyncio.create_task(_run(service), name=service.name)
    try:
        yield
    finally:
        await _stop(service, main)


async def _stop(service: Service, main: asyncio.Task[None]) -> None:
    """Finish what is in flight, all at once, within the drain timeout."""
    runners: list[Stage | Tail] = [*service.stages.values(), *service.tails]
    stops = [asyncio.create_task(runner.stop()) for runner in runners]
    main.cancel()
    limit = service.settings.drain_timeout_seconds + LEAVE_SECONDS
    _, late = await asyncio.wait([main, *stops], timeout=limit)
    if late:
        log.warning("stop_timed_out", service=service.name)
    for task in late:
        task.cancel()
    steps = [*service.on_stop, service.publisher.stop, service.database.client.close]
    await asyncio.gather(*(_closed(service, step) for step in steps))


async def _closed(service: Service, step: Step) -> None:
    """Close a client; one that waits for a dependency that is away is left to the end of the process."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await step()
    except Exception as error:  # noqa: BLE001  (a stop goes on whatever fails)
        log.warning("close_failed", service=service.name, error=type(error).__name__)


async def _run(service: Service) -> None:
    await _prepare(service)
    runners: list[Stage | Tail] = [*service.stages.values(), *service.tails]
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    tasks += [asyncio.ensure_future(loop()) for loop in service.loops]
    try:
        # not `gather`: cancelled, it would cancel consumers that are about to close by themselves
        for task in (await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION))[0] if tasks else ():
            task.result()
    except Exception as error:
        service.failed = True
        log.error("service_failed", service=service.name, error=type(error).__name__, exc_info=error)
        raise
    finally:
        # consumers leave their group by themselves once stopped; loops are told here
        for task in tasks[len(runners) :]:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=service.settings.drain_timeout_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=LEAVE_SECONDS)


async def _prepare(service: Service) -> None:
    while True:
        try:
            for step in service.on_start:
                await step()
        except Exception as error:
            if not is_transient(error):
                service.failed = True
                code = getattr(error, "code", None)
                log.error(
                    "start_failed",
                    service=service.name,
                    error=type(error).__name__,
                    code=code,
                    exc_info=error,
                )
                raise
            log.warning(
                "start_waits",
                service=service.name,
                error=type(error).__name__,
                code=getattr(error, "code", None),
            )
            await asyncio.sleep(1)
        else:
            service.prepared = True
            return


def _health(service: Service) -> APIRouter:
    routes = APIRouter()
    metrics.READY.labels(service.name)

    @routes.get("/livez")
    async def livez() -> Response:
        hung = [name for name, stage in service.stages.items() if not stage.progress.alive]
        hung += [tail.name for tail in service.tails if not tail.progress.alive]
        hung += [service.name] if service.failed else []
        return JSONResponse({"status": "hangs" if hung else "ok", "hangs": hung}, 503 if hung else 200)

    @routes.get("/readyz")
    async def readyz() -> Response:
        checks: dict[str, Step] = {
            "kafka": service.publisher.check,
            "mongo": lambda: ping(service.database),
            **service.checks,
        }
        names = list(checks)
        results = dict(
            zip(names, await asyncio.gather(*(_checked(checks[name]) for name in names)), strict=True)
        )
        results["start"] = (
            "failed"
            if service.failed
            else "ok"
            if service.prepared
            else "indexes or seeds are not in place yet"
        )
        for name, stage in service.stages.items():
            results[f"consumer {name}"] = stage.state
        for tail in service.tails:
            results[f"tail {tail.name}"] = "ok" if tail.connected else "not connected"
        ready = all(result == "ok" for result in results.values())
        metrics.READY.labels(service.name).set(ready)
        return JSONResponse(
            {"status": "ok" if ready else "not ready", "checks": results}, 200 if ready else 503
        )

    @routes.get("/metrics")
    async def metrics_text() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _checked(check: Step) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001  (any failure is the answer)
        return f"{type(error).__name__}: {error}"[:200]
    return "ok"
