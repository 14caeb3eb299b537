"""A real Apache Kafka in KRaft mode, from its Maven artefacts: one node, or three.

Each node is broker and controller. Nodes keep their ports and data over `stop`, `kill` and
`start`, so tests can take Kafka away and give it back.
"""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.ports import LOCALHOST, free_port
from deploy.local.servers import start_tethered, stop, wait_until
from deploy.local.wire import kafka_brokers

VERSION = "4.1.1"
CLUSTER_ID = "Gm7CQ3xKQ0mWbVxHVsZrKg"
START_SECONDS = 60.0
STOP_SECONDS = 20.0

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_JARS = Path(__file__).resolve().parents[2] / ".cache" / f"kafka-{VERSION}"
_JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
)


class KafkaUnavailableError(Exception):
    """This machine can't run it. The text says what is missing."""


@dataclass(slots=True)
class Node:
    """One broker and controller."""

    number: int
    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, *, expect: int = 1) -> None:
        """Start it, or start it again with its data; returns when it knows `expect` brokers."""
        self.launch()
        self.wait(expect)

    def launch(self) -> None:
        """Start it without waiting, from the main thread: the process lives as long as the thread."""
        command = [*java(), "kafka.Kafka", str(self.directory / "server.properties")]
        self.process = start_tethered(command, self.log)

    def wait(self, expect: int) -> None:
        """Wait until it answers and knows at least `expect` brokers."""
        if self.process is None:
            message = f"Kafka node {self.number} was not started"
            raise RuntimeError(message)
        wait_until(
            lambda: kafka_brokers(LOCALHOST, self.port) >= expect,
            self.process,
            self.log,
            name=f"Kafka {self.number}",
            seconds=START_SECONDS,
        )

    def stop(self) -> None:
        """Stop it in order (SIGTERM)."""
        if self.process is not None:
            stop(self.process, STOP_SECONDS)
            self.process = None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def quorum(self) -> dict[str, int]:
        """What it has written down of the last election: `leaderId`, `leaderEpoch`."""
        written = (self.directory / "data" / "__cluster_metadata-0" / "quorum-state").read_text()
        state: dict[str, int] = json.loads(written)
        return state

    @property
    def log(self) -> Path:
        """Its standard output and error."""
        return self.directory / "kafka.log"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The running nodes."""

    nodes: tuple[Node, ...]

    @property
    def bootstrap(self) -> str:
        """`host:port` of each node, by commas."""
        return ",".join(f"{LOCALHOST}:{node.port}" for node in self.nodes)

    @property
    def controller(self) -> Node:
        """The node that leads the quorum, as the nodes that run remember it."""
        states = [node.quorum for node in self.nodes if node.process is not None]
        leader = max(states, key=lambda state: state["leaderEpoch"])["leaderId"]
        return self.nodes[leader - 1]

    def start(self) -> None:
        """Start all that do not run; returns when all know of each other."""
        for node in self.nodes:
            if node.process is None:
                node.launch()  # a quorum comes up only together
        for node in self.nodes:
            node.wait(len(self.nodes))

    def stop(self) -> None:
        """Stop all in order, the last controller last."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """End all as a power cut would end their processes."""
        for node in self.nodes:
            node.kill()


@contextmanager
def apache_kafka(directory: Path, nodes: int = 1) -> Iterator[Cluster]:
    """Run `nodes` nodes with their data in `directory`; raises KafkaUnavailableError where that can't be."""
    fetch()
    cluster = _format(directory, nodes)
    try:
        cluster.start()
        yield cluster
    finally:
        for node in cluster.nodes:
            node.kill()


def java() -> list[str]:
    """Return the command that runs a class of Kafka's."""
    program = shutil.which("java")
    if program is None:
        message = "Apache Kafka needs Java 17 (on Debian: apt-get install default-jre-headless)"
        raise KafkaUnavailableError(message)
    return [program, *_JAVA_OPTIONS, "-cp", f"{_JARS}/*"]


def fetch() -> None:
    """Put Kafka's jars into the cache of the work tree, once, whoever asks first."""
    java()
    _JARS.parent.mkdir(exist_ok=True)
    with (_JARS.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _JARS.is_dir():
            return
        maven = shutil.which("mvn")
        if maven is None:
            message = "fetching Apache Kafka needs Maven (on Debian: apt-get install maven)"
            raise KafkaUnavailableError(message)
        fresh = _JARS.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        goal = "dependency:copy-dependencies"
        result = subprocess.run(  # noqa: S603 - a fixed command of ours
            [maven, "-q", "-B", "-f", str(_POM), goal, f"-DoutputDirectory={fresh}"],
            check=False,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            message = f"Maven could not fetch Apache Kafka: {result.stdout[-500:]}"
            raise KafkaUnavailableError(message)
        fresh.rename(_JARS)


def _format(directory: Path, count: int) -> Cluster:
    nodes = tuple(Node(number, free_port(), directory / f"node-{number}") for number in range(1, count + 1))
    controllers = [free_port() for _ in nodes]
    for node, controller in zip(nodes, controllers, strict=True):
        node.directory.mkdir(parents=True)
        properties = node.directory / "server.properties"
        properties.write_text(_properties(node, controller, controllers))
        format_storage = [
            *java(),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER_ID,
            "-c",
            str(properties),
        ]
        subprocess.run(format_storage, check=True, capture_output=True)  # noqa: S603 - a fixed command of ours
    return Cluster(nodes)


def _properties(node: Node, controller: int, controllers: Sequence[int]) -> str:
    count = len(controllers)
    voters = ",".join(f"{number}@{LOCALHOST}:{port}" for number, port in enumerate(controllers, start=1))
    lines = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{LOCALHOST}:{node.port},CONTROLLER://{LOCALHOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOCALHOST}:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": node.directory / "data",
        "auto.create.topics.enable": "false",
        "default.replication.factor": count,
        "min.insync.replicas": min(2, count),
        "offsets.topic.replication.factor": count,
        "offsets.topic.num.partitions": 5,
        "transaction.state.log.replication.factor": count,
        "transaction.state.log.min.isr": min(2, count),
        "transaction.state.log.num.partitions": 2,
        "broker.session.timeout.ms": 4000,  # a killed node may register again after this
        "broker.heartbeat.interval.ms": 500,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
