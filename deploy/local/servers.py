"""The embedded servers: a Kafka protocol server and a MongoDB protocol server, from wheels.

Each runs in a session of its own, so that Ctrl-C in the terminal reaches only the services, and is
tied to the life of its parent (`tether`). All inherit the lock of the data directory: it is free
again only when the last of them is gone. They are for development: the Kafka server may lose the
last second of acknowledged records on a kill -9.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local import tether
from deploy.local.lock import hold
from deploy.local.ports import LOCALHOST, free_port
from deploy.local.wire import kafka_brokers

START_SECONDS = 30.0
STOP_SECONDS = 10.0
_ATTEMPTS = 3
_HARMLESS = "GLIBC_"


class ServerStartError(Exception):
    """A server did not start. The text quotes the end of its log."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the two servers are reached."""

    kafka_bootstrap_servers: str
    mongo_url: str


@contextmanager
def running(
    data_dir: Path, *, kafka_bootstrap_servers: str | None = None, mongo_url: str | None = None
) -> Iterator[Servers]:
    """Run what is not given by an address, with its data under `data_dir`; stop it at the end.

    Raises `lock.DirectoryInUseError` when another stack uses `data_dir`, ServerStartError when a server does
    not start.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(hold(data_dir))
        mongo = mongo_url or stack.enter_context(mongo_server(data_dir / "mongo", keep=(lock,)))
        kafka = kafka_bootstrap_servers or stack.enter_context(kafka_server(data_dir / "kafka", keep=(lock,)))
        yield Servers(kafka, mongo)


@contextmanager
def kafka_server(directory: Path, *, keep: Sequence[int] = ()) -> Iterator[str]:
    """Run the Kafka protocol server with its data in `directory`; gives its bootstrap address.

    `keep` are file descriptors that the server holds open as long as it lives.
    """
    binary = str(files("noida_db") / "noida-db")
    (directory / "noida.control.json").unlink(
        missing_ok=True
    )  # a killed run leaves it; the lock says it is gone

    def command(port: int) -> list[str]:
        return [binary, "start", "--data-dir", str(directory), "--only", "kafka", "--kafka-port", str(port)]

    with _serving("kafka", directory, command, lambda port: kafka_brokers(LOCALHOST, port) > 0, keep) as port:
        yield f"{LOCALHOST}:{port}"


@contextmanager
def mongo_server(directory: Path, *, keep: Sequence[int] = ()) -> Iterator[str]:
    """Run the MongoDB protocol server with its data in `directory`; gives its URL."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory.parent / "mongo.toml"
    config.touch()  # an empty one of ours, so that none is picked up from the working directory or /etc

    def command(port: int) -> list[str]:
        program = "import sys; from secantus.cli import main; sys.exit(main())"
        options = ["--config", str(config), "--host", LOCALHOST, "--port", str(port)]
        options += ["--storage-path", str(directory), "--cache-size", "256M", "--log-level", "WARNING"]
        return [sys.executable, "-c", program, *options]

    with _serving("mongo", directory, command, _mongo_answers, keep) as port:
        yield f"mongodb://{LOCALHOST}:{port}"


def _mongo_answers(port: int) -> bool:
    try:
        with MongoClient[dict[str, object]](LOCALHOST, port, serverSelectionTimeoutMS=500) as client:
            return bool(client.admin.command("ping")["ok"])
    except PyMongoError:
        return False


@contextmanager
def _serving(
    name: str,
    directory: Path,
    command: Callable[[int], list[str]],
    answers: Callable[[int], bool],
    keep: Sequence[int],
) -> Iterator[int]:
    directory.mkdir(parents=True, exist_ok=True)
    log = directory.parent / f"{name}.log"
    for attempt in range(1, _ATTEMPTS + 1):
        port = free_port()
        process = start_tethered(command(port), log, keep=keep)
        try:
            wait_until(lambda port=port: answers(port), process, log, name=name)  # type: ignore[misc]
        except ServerStartError:
            stop(process)
            if attempt == _ATTEMPTS:
                raise
            continue  # the port was free a moment ago; somebody may have taken it
        try:
            yield port
        finally:
            stop(process)
        return


def start_tethered(
    command: list[str], log: Path, *, keep: Sequence[int] = (), environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, tied to this process, its output in `log`.

    `environment` takes the place of this process' own.
    """
    tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]
    with log.open("wb") as output:
        return subprocess.Popen(
            tied,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(keep),
            env=environment,
        )


def wait_until(
    answers: Callable[[], bool],
    process: subprocess.Popen[bytes],
    log: Path,
    *,
    name: str,
    seconds: float = START_SECONDS,
) -> None:
    """Wait until `answers()`; raises ServerStartError when the process ends or the time is up."""
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None:
            message = f"the {name} server ended with code {process.returncode} at its start: {tail(log)}"
            raise ServerStartError(message)
        if time.monotonic() > deadline:
            message = f"the {name} server does not answer after {seconds:.0f} s: {tail(log)}"
            raise ServerStartError(message)
        time.sleep(0.05)


def tail(log: Path, lines: int = 5) -> str:
    """Return the last lines of `log`, without the loader's warning that means nothing."""
    text = log.read_text(errors="replace")
    kept = [line for line in text.splitlines() if _HARMLESS not in line]
    return "\n".join(kept[-lines:]) or "(its log is empty)"


def stop(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Ask the process to end; after `seconds` end it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
