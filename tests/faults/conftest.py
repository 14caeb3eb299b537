"""What the fault suite runs on. FAULTS=long makes each run longer; FAULTS_SEED repeats its random choices."""

import os
import time
from random import Random

import pytest

LONG = os.environ.get("FAULTS") == "long"


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """Give the source of all random choices of a test; a failing test shows its seed."""
    seed = os.environ.get("FAULTS_SEED") or str(time.time_ns())
    print(f"\n{request.node.name}: FAULTS_SEED={seed}")
    return Random(seed)  # noqa: S311  (choices, not secrets)
