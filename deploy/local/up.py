"""`python -m deploy.local.up`: the whole of Parley in one process, on embedded servers.

Servers, topics, services, seeds, in this order; SIGINT or SIGTERM ends them in the opposite one.
"""

import asyncio
import importlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import httpx
import uvicorn
import uvloop
from aiokafka.errors import KafkaError
from fastapi import FastAPI
from pydantic import ValidationError

from deploy.local import next_steps
from deploy.local.keys import StackKeys
from deploy.local.lock import DirectoryInUseError
from deploy.local.origin import Lifespans, OneOrigin
from deploy.local.pacing import pace_empty_fetches
from deploy.local.ports import PortInUseError, listen
from deploy.local.seeds import NotReadyError, seed_agents, wait_ready
from deploy.local.servers import Servers, ServerStartError, running
from deploy.local.simulator.app import build_simulator
from deploy.local.simulator.customer_data import PATH, SECRET
from deploy.local.stack import LOCAL_HOST, Stack, StackError
from services.chassis import logging
from services.chassis.accounts import Accounts, AccountsError
from services.chassis.heads import BoundedHeads
from services.chassis.inboxes import BadInboxes
from services.chassis.settings import Settings
from services.chassis.topics import create_topics
from services.conversation.rules_file import BadRules

SERVICES = ("ingest", "identity", "conversation", "router", "notifier")
_UVICORN: dict[str, Any] = {
    "http": BoundedHeads,
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "timeout_graceful_shutdown": 3,
}
_EXPECTED = (
    AccountsError,
    BadInboxes,
    BadRules,
    DirectoryInUseError,
    NotReadyError,
    PortInUseError,
    ServerStartError,
    StackError,
)


def main() -> int:
    """Run until told to stop; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the loop listens itself
    try:
        stack = Stack.from_environment()
        with ExitStack() as resources:
            listener = resources.enter_context(_listening(stack.port))
            stack = stack.at(listener.getsockname()[1])
            servers = resources.enter_context(_servers(stack))
            keys = StackKeys.load_or_make(stack.data_dir)
            variables = environment(stack, servers, keys)
            stack.remember({name: variables[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "MONGO_URL")})
            os.environ.update(variables)
            log = resources.enter_context((stack.data_dir / "parley.log").open("a"))
            uvloop.run(serve(stack, keys, listener, log))
            print("stopping the servers …", flush=True)
    except _EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            print(f"error: {'.'.join(map(str, problem['loc'])).upper()}: {problem['msg']}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted while starting", file=sys.stderr)
        return 130
    print("stopped", flush=True)
    return 0


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """Take the port first: it is the cheapest thing to fail."""
    with listen(LOCAL_HOST, port) as listener:
        yield listener


@contextmanager
def _servers(stack: Stack) -> Iterator[Servers]:
    print("starting the servers …", flush=True)
    kafka, mongo = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("MONGO_URL")
    pace_empty_fetches()  # a broker that waits for records never notices
    with running(stack.data_dir, kafka_bootstrap_servers=kafka or None, mongo_url=mongo or None) as servers:
        yield servers


def customer_data(url: str) -> dict[str, str]:
    """Return where identity finds the stand-in of the operator's system; nothing if another is set."""
    if os.environ.get("CUSTOMER_DATA_URL"):
        return {}
    own = {"URL": url + PATH, "SECRET": SECRET, "NAME": "demo-shop", "PRIVATE": "true"}
    return {f"CUSTOMER_DATA_{name}": value for name, value in own.items()}


def environment(stack: Stack, servers: Servers, keys: StackKeys) -> dict[str, str]:
    """Return what the services read: the stack's own addresses and keys, unless they are given."""
    own = {
        **customer_data(stack.url),
        "BLOB_STORE": (stack.data_dir / "files").as_uri(),
        "CUSTOMER_KEYS_SECRET": keys.secret_for("customer keys"),
        "DRAIN_TIMEOUT_SECONDS": "8",
        "CONVERSATION_URL": stack.url,
        "FILE_LINK_SECRET": keys.secret_for("file links"),
        "INGEST_URL": stack.url,
        "JWKS_URL": (stack.data_dir / "jwks.json").as_uri(),
        "NOTIFIER_URL": stack.url,
        "PROVIDER_API_BASE": f"{stack.url}/dev/providers",
        "PUBLIC_URL": stack.public_url,
        "SNS_BASE_URL": f"{stack.url}/dev/providers/sns",
        "VISITOR_TOKEN_SECRET": keys.visitor_token_secret,
    }
    given = {name: os.environ[name] for name in own if os.environ.get(name)}
    return {
        **own,
        **given,
        "HOST": LOCAL_HOST,
        "PORT": str(stack.port),
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "MONGO_URL": servers.mongo_url,
    }


async def serve(stack: Stack, keys: StackKeys, listener: socket.socket, log: TextIO) -> None:
    """Create the topics, serve all services until a signal comes, and stop them."""
    logging.configure(os.environ.get("LOG_LEVEL", "INFO"), log)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(_topics(Settings()))
    if not await _unless(stopping, starting):
        starting.cancel()
        return
    await _run(stack, keys, listener, compose(stack, keys), stopping)


async def _topics(settings: Settings) -> None:
    try:
        await create_topics(settings)
    except KafkaError as error:
        message = (
            f"Kafka at {settings.kafka_bootstrap_servers} cannot be used: {error or type(error).__name__}"
        )
        raise StackError(message) from error


@dataclass(frozen=True, slots=True)
class Applications:
    """What one process serves."""

    services: Mapping[str, FastAPI]
    others: Mapping[str, FastAPI]


def compose(stack: Stack, keys: StackKeys) -> Applications:
    """Return the services, each composed from the environment, and the simulator."""
    accounts = Accounts.load(stack.accounts_file)
    simulator = build_simulator(accounts, public_url=stack.public_url, local_url=stack.url)
    simulator.add_api_route("/dev/jwks.json", keys.jwks)
    services = {name: importlib.import_module(f"services.{name}.app").build_app() for name in SERVICES}
    return Applications(services, {"dev": simulator})


async def _run(
    stack: Stack, keys: StackKeys, listener: socket.socket, apps: Applications, stopping: asyncio.Event
) -> None:
    origin = OneOrigin(apps.services, apps.others)
    server = _Server(uvicorn.Config(origin, **_UVICORN))
    lifespans = Lifespans({**apps.services, **apps.others})
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def live() -> None:
        await lifespans.start()
        await seed(stack, keys)
        next_steps.show(stack)
        await asyncio.shield(serving)

    living = asyncio.create_task(live())
    try:
        await _unless(stopping, living)
    finally:
        print("stopping the services …", flush=True)
        living.cancel()
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.gather(serving, return_exceptions=True)
        await lifespans.stop()


async def seed(stack: Stack, keys: StackKeys) -> None:
    """Wait until all services are ready and tell the router who its Agents are; raises NotReadyError."""
    now = datetime.now(UTC)
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=10) as client:
        await wait_ready(client, SERVICES)
        agents = [agent for agent in stack.agents().values() if agent.profile is not None]
        await seed_agents(client, agents, keys.token("local", ["service"], now, timedelta(minutes=5)))


async def _unless(stopping: asyncio.Event, work: asyncio.Task[None]) -> bool:
    """Return whether `work` ended before a signal came; raises its error."""
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait([told, work], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        told.cancel()
        work.result()
        return True
    return False


class _Server(uvicorn.Server):
    """Leaves the signals to us: HTTP ends first, then the services, then the servers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


if __name__ == "__main__":
    sys.exit(main())
