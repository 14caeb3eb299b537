"""What a service that does nothing holds in memory, each alone in a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local.servers import kafka_server
from deploy.local.up import SERVICES
from tests.system.launch import System, running_system
from tests.system.waiting import until

LIMIT_MB = 120

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, embedded_mongo: str) -> Iterator[System]:
    """Give one replica of each service."""
    directory = tmp_path_factory.mktemp("memory")
    with (
        kafka_server(directory / "kafka" / "data") as kafka,
        running_system(directory, kafka, embedded_mongo, each=1, MONGO_DATABASE="t_memory") as running,
    ):
        yield running


async def test_an_idle_service_is_below_120_mb(alone: System) -> None:
    await alone.ready()
    async with httpx.AsyncClient(trust_env=False) as http:
        for process in alone.processes:  # what the first requests load belongs to it
            for path in ("metrics", "livez", f"{process.module.rpartition('.')[2]}/openapi.json"):
                assert (await http.get(f"{process.url}/{path}")).status_code == 200

    async def look() -> dict[str, float]:
        return {name: megabytes(alone.replicas[name][0].pid) for name in SERVICES}

    held = await until(look, lambda found: max(found.values()) < LIMIT_MB, seconds=20, pause=0.5)
    print(f"\nMB of each idle service: {held}")  # noqa: T201  (what the run is for)


def megabytes(pid: int) -> float:
    """Return the resident memory, all that is shared with others counted in full (RSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
    return round(kilobytes / 1024, 1)
