"""`python -m deploy.local.dev`: what stands in for the world where the services run as containers.

For `deploy/compose.yaml`: the providers' simulator, the key set of the issuer of tokens, the list of
services at `/`, and the Agents of `agents.yaml` for the router. PORT is where all is reached, through the
proxy beside it; DEV_PORT (8081) is where this process listens, on the loopback that it shares with the proxy.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount

from deploy.local.keys import StackKeys
from deploy.local.origin import OneOrigin
from deploy.local.seeds import NotReadyError
from deploy.local.simulator.app import build_simulator
from deploy.local.stack import LOCAL_HOST, Stack, StackError
from deploy.local.up import SERVICES, seed
from services.chassis import logging
from services.chassis.accounts import Accounts, AccountsError
from services.chassis.logging import log

DEFAULT_PORT = "8081"


def main() -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    logging.configure(os.environ.get("LOG_LEVEL", "INFO"))
    try:
        stack = Stack.from_environment()
        stack.agents()
        app = build_app(stack, StackKeys.load_or_make(stack.data_dir))
        stack.remember()
    except (AccountsError, StackError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    port = int(os.environ.get("DEV_PORT") or DEFAULT_PORT)
    uvicorn.run(
        app, host=LOCAL_HOST, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=3
    )
    return 0


def build_app(stack: Stack, keys: StackKeys) -> Starlette:
    """Return the application; `/dev/readyz` is 200 once the router knows its Agents."""
    simulator = build_simulator(
        Accounts.load(stack.accounts_file), public_url=stack.public_url, local_url=stack.url
    )
    seeded = asyncio.Event()

    async def readyz() -> JSONResponse:
        return JSONResponse({"agents": seeded.is_set()}, 200 if seeded.is_set() else 503)

    simulator.add_api_route("/dev/jwks.json", keys.jwks)
    simulator.add_api_route("/dev/readyz", readyz)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with simulator.router.lifespan_context(simulator):
            seeding = asyncio.create_task(_seed(stack, keys, seeded))
            yield
            seeding.cancel()

    origin = OneOrigin({}, {"dev": simulator}, listed=SERVICES)
    return Starlette(routes=[Mount("/", app=origin)], lifespan=lifespan)


async def _seed(stack: Stack, keys: StackKeys, seeded: asyncio.Event) -> None:
    """Services and proxy come and go: tried until it succeeds."""
    while not seeded.is_set():
        try:
            await seed(stack, keys)
        except (NotReadyError, httpx.TransportError) as error:
            log.warning("seeding_waits", error=type(error).__name__)
            await asyncio.sleep(1)
        else:
            seeded.set()
            log.info("agents_seeded")


if __name__ == "__main__":
    sys.exit(main())
