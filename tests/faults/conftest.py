"""What the fault suite runs on. FAULTS=long makes each run longer; FAULTS_SEED repeats its random choices."""

import os
import time
from collections.abc import Iterator
from random import Random

import pytest

from deploy.local import servers

LONG = os.environ.get("FAULTS") == "long"


@pytest.fixture(scope="module")
def embedded_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a MongoDB protocol server of the module's own: it slows down with what earlier ones left."""
    with servers.mongo_server(tmp_path_factory.mktemp("mongo") / "data") as url:
        yield url


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """Give the source of all random choices of a test; a failing test shows its seed."""
    seed = os.environ.get("FAULTS_SEED") or str(time.time_ns())
    print(f"\n{request.node.name}: FAULTS_SEED={seed}")
    return Random(seed)  # noqa: S311  (choices, not secrets)
