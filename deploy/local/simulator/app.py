"""Composes the simulator: `/dev/providers/…`, and the operator's own system."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from fastapi import APIRouter, FastAPI

from deploy.local.simulator import customer_data, media
from deploy.local.simulator.behaviour import Behaviour, Behaviours
from deploy.local.simulator.callbacks import Callbacks, Post
from deploy.local.simulator.registry import STAND_INS
from deploy.local.simulator.sent import Entry, Sent
from services.chassis.accounts import Accounts

PREFIX = "/dev/providers"


def build_simulator(
    accounts: Accounts, *, public_url: str, local_url: str, post: Post | None = None, pause: float = 0.05
) -> FastAPI:
    """Return the simulator of the providers of `accounts`.

    `public_url` is the base that signatures cover, `local_url` where it is reached; `pause` is the
    time in seconds before each status webhook; `post` replaces real HTTP.
    """
    client = httpx.AsyncClient(timeout=15, trust_env=False)
    behaviours, sent = Behaviours(), Sent()
    callbacks = Callbacks(post or _over(client), public_url=public_url, local_url=local_url, pause=pause)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await callbacks.stop()
        await client.aclose()

    app = FastAPI(title="Parley provider simulator", lifespan=lifespan, openapi_url="/dev/openapi.json")
    app.state.callbacks = callbacks
    for row in STAND_INS:
        app.include_router(row.router(accounts, behaviours, sent, callbacks), prefix=PREFIX)
    app.include_router(media.router(accounts, media.Shelf(), PREFIX), prefix=PREFIX)
    app.include_router(_controls(behaviours, sent), prefix=PREFIX)
    app.include_router(customer_data.router())
    return app


def _controls(behaviours: Behaviours, sent: Sent) -> APIRouter:
    routes = APIRouter()

    @routes.get("/sent")
    async def list_sent() -> list[Entry]:
        return sent.entries()

    @routes.delete("/sent", status_code=204)
    async def forget_sent() -> None:
        sent.forget()

    @routes.get("/behaviour")
    async def list_behaviour() -> list[Behaviour]:
        return behaviours.current()

    @routes.post("/behaviour")
    async def set_behaviour(behaviour: Behaviour) -> list[Behaviour]:
        behaviours.order(behaviour)
        return behaviours.current()

    return routes


def _over(client: httpx.AsyncClient) -> Post:
    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            return (await client.post(url, headers=dict(headers), content=body)).status_code
        except httpx.HTTPError as error:
            raise ConnectionError(type(error).__name__) from error

    return post
