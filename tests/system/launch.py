"""The five services as processes of their own, several replicas each, with a simulator of the providers.

Kafka and MongoDB are given. A replica keeps its port over `kill` and `start`. Processes are tied to the
thread that starts them: start them from the main thread only.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import httpx

from deploy.local.keys import StackKeys
from deploy.local.ports import LOCALHOST, free_port
from deploy.local.servers import start_tethered, stop, tail
from deploy.local.up import SERVICES
from services.chassis.accounts import Accounts
from services.chassis.settings import Settings
from services.chassis.topics import create_topics
from tests.servers.stack import ROOT
from tests.system.site import Site

PUBLIC_URL = "http://parley.test"
"""What signatures cover; nobody listens there."""
READY_SECONDS = 60.0


@dataclass(slots=True)
class Process:
    """One replica, or the simulator."""

    name: str
    module: str
    port: int
    environment: Mapping[str, str]
    log: Path
    arguments: tuple[str, ...] = ()
    running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id; raises RuntimeError when it does not run."""
        if self.running is None:
            raise RuntimeError(f"{self.name} does not run")
        return self.running.pid

    def start(self) -> None:
        """Start it; it is not ready yet."""
        kept = self.log.read_bytes() if self.log.exists() else b""
        self.log.with_suffix(".before").write_bytes(kept)
        environment = {**self.environment, "PORT": str(self.port), "HOST": LOCALHOST}
        command = [sys.executable, "-m", self.module, *self.arguments]
        self.running = start_tethered(command, self.log, environment=environment)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()
            self.running = None

    def stop(self) -> int:
        """End it in order (SIGTERM); returns the exit code."""
        if self.running is None:
            return 0
        stop(self.running, 30)
        code, self.running = self.running.returncode, None
        return code

    async def ready(self, http: httpx.AsyncClient, seconds: float = READY_SECONDS) -> float:
        """Wait until `readyz` is 200 and return the seconds; raises RuntimeError with the end of the log."""
        started = monotonic()
        last = ""
        while monotonic() - started < seconds:
            if self.running is not None and self.running.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {tail(self.log, 20)}")
            try:
                answer = await http.get(f"{self.url}/readyz", timeout=5)
            except httpx.TransportError as error:
                last = type(error).__name__
            else:
                if answer.status_code == httpx.codes.OK:
                    return monotonic() - started
                last = answer.text
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{self.name} is not ready after {seconds:.0f} s: {last}\n{tail(self.log, 20)}")


@dataclass(frozen=True, slots=True)
class System:
    """All processes, and how they are reached."""

    kafka: str
    replicas: Mapping[str, Sequence[Process]]
    simulator: Process
    site: Site

    @property
    def processes(self) -> list[Process]:
        """Return all replicas."""
        return [replica for replicas in self.replicas.values() for replica in replicas]

    async def ready(self) -> None:
        """Wait until every replica that was started is."""
        running = [process for process in self.processes if process.running is not None]
        async with httpx.AsyncClient(trust_env=False) as http:
            await asyncio.gather(*(process.ready(http) for process in running))


@contextmanager
def running_system(
    directory: Path,
    kafka: str,
    mongo: str,
    *,
    services: Sequence[str] = SERVICES,
    each: int | Mapping[str, int] = 2,
    started: int | None = None,
    replication: int = 1,
    within: Mapping[str, str] | None = None,
    simulator_port: int | None = None,
    **variables: str,
) -> Iterator[System]:
    """Create the topics and run `each` replicas of `services`; see `launched`."""
    asyncio.run(create_topics(Settings(kafka_bootstrap_servers=kafka), replication_factor=replication))
    with launched(
        directory,
        kafka,
        mongo,
        services=services,
        each=each,
        started=started,
        within=within,
        simulator_port=simulator_port,
        **variables,
    ) as system:
        yield system


@contextmanager
def launched(
    directory: Path,
    kafka: str,
    mongo: str,
    *,
    services: Sequence[str] = SERVICES,
    each: int | Mapping[str, int] = 2,
    started: int | None = None,
    within: Mapping[str, str] | None = None,
    simulator_port: int | None = None,
    **variables: str,
) -> Iterator[System]:
    """Run `each` replicas of `services`, with `variables` as settings; a loop may run already.

    `each` may name services, of which there are so many; of the others there are two. Only the first
    `started` replicas are started. `within` names modules that are started in place of
    services' own, and told theirs.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keys = StackKeys.load_or_make(directory)
    simulator_port = simulator_port or free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "MONGO_URL": mongo,
        "JWKS_URL": f"file://{directory / 'jwks.json'}",
        "PUBLIC_URL": PUBLIC_URL,
        "PROVIDER_API_BASE": f"http://{LOCALHOST}:{simulator_port}/dev/providers",
        "SNS_BASE_URL": f"http://{LOCALHOST}:{simulator_port}/dev/providers/sns",
        "CUSTOMER_KEYS_SECRET": keys.secret_for("customer keys"),
        "VISITOR_TOKEN_SECRET": keys.visitor_token_secret,
        **variables,
    }
    replicas = {
        name: [
            Process(
                f"{name}-{number}",
                (within or {}).get(name, f"services.{name}"),
                free_port(),
                environment,
                directory / f"{name}-{number}.log",
                (f"services.{name}",) if name in (within or {}) else (),
            )
            for number in range(each if isinstance(each, int) else each.get(name, 2))
        ]
        for name in services
    }
    ingests = {"INGEST_URLS": ",".join(replica.url for replica in replicas.get("ingest", ()))}
    simulator = Process(
        "simulator",
        "tests.system.simulator",
        simulator_port,
        environment | ingests,
        directory / "simulator.log",
    )
    accounts = Accounts.load(Path(environment.get("ACCOUNTS_FILE") or Settings().accounts_file))
    bases = {name: [replica.url for replica in of_service] for name, of_service in replicas.items()}
    system = System(kafka, replicas, simulator, Site(bases, simulator.url, PUBLIC_URL, keys, accounts))
    try:
        simulator.start()
        for of_service in system.replicas.values():
            for process in of_service[:started]:
                process.start()
        yield system
    finally:
        for process in (*system.processes, simulator):
            if process.running is not None:
                process.running.terminate()
        for process in (*system.processes, simulator):
            process.stop()
