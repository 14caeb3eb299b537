"""The inputs that `make fuzz` begins with pass its checks, and its changes of inputs never fail."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.channels.registry import PROVIDERS
from services.notifier.channels.registry import SENDERS
from tests.fuzz.mutation import changed
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_begins_with_passes(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for data in seeds:
        TARGETS[name].check(data)


def test_every_provider_is_fuzzed() -> None:
    assert PROVIDERS.keys() <= TARGETS.keys()
    assert {f"answers-{name}" for name in SENDERS if name != "webchat"} <= TARGETS.keys()


@given(
    st.binary(max_size=50)
    | st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.text())).map(
        lambda value: b"q\np\n" + json.dumps(value).encode()
    ),
    st.integers(0, 2**32 - 1),
)
def test_any_input_is_changed_into_another_of_bounded_size(data: bytes, seed: int) -> None:
    assert len(changed(data, 1_000, seed, lambda given, most: given[:most], 2)) <= 1_000
