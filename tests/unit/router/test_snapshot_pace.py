"""How often a pool is written down whole: what it costs is spread over as much work as it is large."""

from uuid import uuid4

from services.router.domain.pool import Pool
from services.router.domain.state import PoolState, Standing
from services.router.journal import Applied
from services.router.owned import Owned, wants_snapshot
from tests.unit.router.commands import POOL


def owned(conversations: int, *, entries: int, inputs: int) -> Owned:
    state = PoolState(POOL)
    for number in range(conversations):
        name = f"c{number}"
        state.standings[name] = Standing(name, f"customer-{number}", uuid4(), None)
    return Owned(POOL, Pool(state), Applied(), n=entries, unsaved=inputs)


def test_a_small_pool_is_written_down_every_so_many_entries() -> None:
    assert not wants_snapshot(owned(10, entries=199, inputs=500), 200)
    assert wants_snapshot(owned(10, entries=200, inputs=200), 200)


def test_a_large_pool_waits_until_a_fraction_of_it_may_have_changed() -> None:
    assert not wants_snapshot(owned(4000, entries=200, inputs=999), 200)
    assert wants_snapshot(owned(4000, entries=200, inputs=1000), 200)


def test_one_after_each_entry_can_be_asked_for_however_large_the_pool() -> None:
    assert wants_snapshot(owned(4000, entries=1, inputs=1), 1)


def test_writing_costs_no_more_per_input_where_ten_times_as_many_conversations_are_open() -> None:
    def written_per_input(conversations: int) -> float:
        pool = owned(conversations, entries=0, inputs=0)
        while not wants_snapshot(pool, 200):
            pool.n, pool.unsaved = pool.n + 1, pool.unsaved + 1
        return conversations / pool.unsaved

    assert written_per_input(10_000) <= written_per_input(1000)
