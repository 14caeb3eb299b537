"""What a bench is given: servers of its own, a place for its data, and how long it may take."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from deploy.local.servers import mongo_server
from services.chassis.settings import Settings
from tests.servers.apache_kafka import apache_kafka

T = TypeVar("T")


class Scale(StrEnum):
    """How much is measured. `smoke` only shows that a bench runs; its figures mean nothing."""

    SMOKE = "smoke"
    SMALL = "small"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Setup:
    """The surroundings of one bench."""

    directory: Path
    """For data and logs; gone afterwards."""
    profiles: Path
    """For profiles; kept with the report."""
    kafka: str
    """Bootstrap address of an Apache Kafka of one node, without topics; empty for a bench that needs none."""
    mongo: str
    """URL of a MongoDB protocol server, a replica set of one; empty for a bench that needs none."""
    scale: Scale

    def sized(self, *, smoke: T, small: T, full: T) -> T:
        """Return the value for this run's scale."""
        return {Scale.SMOKE: smoke, Scale.SMALL: small, Scale.FULL: full}[self.scale]

    @property
    def settings(self) -> Settings:
        """Settings of the chassis for these servers."""
        return Settings(kafka_bootstrap_servers=self.kafka, mongo_url=self.mongo)


@contextmanager
def surroundings(profiles: Path, scale: Scale, *, kafka: bool, mongo: bool) -> Iterator[Setup]:
    """Start the servers a bench needs, in a directory that is removed at the end.

    Raises KafkaUnavailableError where Java or Maven is missing.
    """
    with TemporaryDirectory(prefix="parley-bench-", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        directory = Path(name)
        bootstrap = stack.enter_context(apache_kafka(directory / "kafka")).bootstrap if kafka else ""
        url = stack.enter_context(mongo_server(directory / "mongo" / "data")) if mongo else ""
        profiles.mkdir(parents=True, exist_ok=True)
        yield Setup(directory, profiles, bootstrap, url, scale)
