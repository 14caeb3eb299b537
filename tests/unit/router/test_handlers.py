"""Crashes, faults and second owners: nothing is lost, nothing doubled, the order stays."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from schemas.common import Channel
from schemas.envelope import Envelope
from schemas.routing import AgentChanged, RoutingGranted, RoutingUnassigned
from services.chassis.broker import partition_of
from services.chassis.delivery import DUPLICATE, HANDLED, Delivery
from services.router.domain.policy import InboxPolicy, Policy, Relaxation
from services.router.handlers import Router
from services.router.journal import PoolTaken
from tests.unit.router.commands import (
    POOL,
    START,
    assign,
    available,
    heartbeat,
    profile,
    pull,
    release,
    request,
)
from tests.unit.router.fakes import (
    PARTITION,
    Crash,
    FakePublisher,
    FakeStore,
    Fault,
    Trouble,
    Uncounted,
    World,
    deliveries,
)


class Replica:
    """One process with its own memory, on a shared world."""

    def __init__(self, world: World, trouble: Trouble | None = None, snapshot_every: int = 3) -> None:
        trouble = trouble or Trouble()
        self.observer = Uncounted()
        self.now, self.policy = START, Policy()
        self.router = Router(
            store=FakeStore(world, trouble),
            publisher=FakePublisher(world, trouble),
            observer=self.observer,
            policy_of=lambda _: self.policy,
            clock=lambda: self.now,
            owner="test",
            snapshot_every=snapshot_every,
        )
        self.router.caught_up = lambda _: self.now

    async def tick(self, seconds: float = 0) -> None:
        """Let time pass in steps small enough not to be taken for a gap."""
        until = self.now + timedelta(seconds=seconds)
        while True:
            await self.router.tick()
            if self.now >= until:
                return
            self.now = min(self.now + timedelta(seconds=2), until)


def a_day() -> list[list[Envelope]]:
    """Batches of commands that lead to decisions of every kind."""
    return [
        [profile("ana"), profile("ben", capacity={"total": 1}), available("ana")],
        [request("c1"), request("c2"), request("c3"), request("c4"), request("call", channel=Channel.VOICE)],
        [available("ben"), heartbeat("ana"), assign("c1", 2, "ben"), pull("ben")],
        [release("c2", 1), available("ana", on=False)],
        [available("ana", Channel.SMS), request("c5")],
    ]


async def play(world: World, trouble: Trouble) -> None:
    """Hand the day over as the delivery core would: again after a fault, to another after a crash."""
    replica, first = Replica(world, trouble), 0
    for commands in a_day_once:
        batch = deliveries(commands, first)
        first += len(commands)
        for _ in range(3):
            try:
                await replica.router.handle(batch)
                break
            except Fault:
                continue
            except Crash:
                replica = Replica(world)
                await replica.router.assigned(frozenset({PARTITION}))
    assert replica.observer.divergences == 0


a_day_once = a_day()


def effects(world: World) -> list[dict[str, object]]:
    """What consumers that know ids see of the log, without the times of decision."""
    seen: dict[object, dict[str, object]] = {}
    for record in world.records():
        seen.setdefault(record.id, record.model_dump(exclude={"occurred_at"}))
    return list(seen.values())


async def test_a_changed_policy_is_an_input_of_the_journal_and_disturbs_nobody() -> None:
    world = World()
    replica = Replica(world, snapshot_every=1000)
    await replica.router.handle(deliveries([request("c1", skills={"french": 1}), request("c2")]))
    replica.policy = Policy(defaults=InboxPolicy(relaxation=(Relaxation(5, drop=("french",)),)))
    await replica.tick(1)
    await replica.tick(5)
    await replica.router.handle(deliveries([profile("ana"), available("ana")], 2))
    assert grants(world) == ["c1", "c2"]
    values = [given.value for entry in world.journal.values() for given in entry.given]
    assert sum(value.startswith('{"type": "new_policy"') for value in values) == 1
    heir = Replica(world, snapshot_every=1000)
    heir.policy = replica.policy
    await heir.router.assigned(frozenset({PARTITION}))
    assert heir.observer.divergences == 0


async def calls_of_a_day() -> int:
    trouble = Trouble()
    await play(World(), trouble)
    return trouble.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Crash, Fault])
async def test_a_failure_at_any_await_loses_and_doubles_nothing(
    error: type[BaseException], *, after: bool
) -> None:
    calm = World()
    await play(calm, Trouble())
    expected = effects(calm)
    assert {each["type"] for each in expected} >= {
        "routing.granted",
        "routing.unassigned",
        "routing.refused",
        "agent.changed",
    }
    for call in range(1, await calls_of_a_day() + 1):
        world = World()
        await play(world, Trouble(call, after=after, error=error))
        assert effects(world) == expected, f"call {call}"
        assert world.outcomes == calm.outcomes
        assert world.agents == calm.agents
        assert world.requests == calm.requests
        assert all(entry.published for entry in world.journal.values())


async def test_nothing_is_published_that_was_not_journaled() -> None:
    world = World()
    replica = Replica(world, Trouble(3, error=Fault))  # history, take-over, then the batch's entry
    await replica.router.assigned(frozenset({PARTITION}))
    with pytest.raises(Fault):
        await replica.router.handle(deliveries(a_day_once[0]))
    assert world.published == []
    assert await replica.router.handle(deliveries(a_day_once[0])) == [HANDLED] * 3
    assert len(world.records()) == 3


async def test_redelivered_commands_are_duplicates_also_for_another_replica() -> None:
    world = World()
    batch = deliveries([profile("ana"), available("ana"), request("c1")])
    assert await Replica(world).router.handle(batch) == [HANDLED] * 3
    published = len(world.published)
    assert await Replica(world).router.handle(batch) == [DUPLICATE] * 3
    assert len(world.published) == published


async def test_a_log_that_lost_its_end_and_grew_another_is_not_taken_for_duplicates() -> None:
    replica = Replica(World())
    await replica.router.handle(deliveries([profile("ana"), available("ana"), request("lost")]))
    outcomes = await replica.router.handle(deliveries([request("new"), request("newer")], first=2))
    assert outcomes == [HANDLED, HANDLED]
    assert await replica.router.handle(deliveries([request("lost")], first=2)) == [HANDLED]


def two_wait_for_ben() -> list[Envelope]:
    """Ana is free, yet gets c1 and c2 only if she asks: they wait a while for Ben, who is full."""
    return [
        profile("ben", capacity={"total": 1}),
        available("ben"),
        request("c0", preferred_agent="ben"),
        profile("ana"),
        available("ana"),
        request("c1", preferred_agent="ben"),
        request("c2", preferred_agent="ben"),
    ]


def grants(world: World) -> list[str]:
    return [each.data.conversation_id for each in world.records() if isinstance(each, RoutingGranted)]


@pytest.mark.parametrize("how", ["in one batch", "in another batch", "to another owner"])
async def test_a_command_of_an_agent_published_twice_has_one_effect_and_one_answer(how: str) -> None:
    world = World()
    replica = Replica(world)
    await replica.router.handle(deliveries(two_wait_for_ben()))
    asked = pull("ana")
    if how == "in one batch":
        outcomes = list(await replica.router.handle(deliveries([asked, asked], first=7)))
    else:
        outcomes = list(await replica.router.handle(deliveries([asked], first=7)))
        second = Replica(world) if how == "to another owner" else replica
        outcomes += await second.router.handle(deliveries([asked], first=8))
    assert outcomes == [HANDLED, DUPLICATE]
    assert grants(world) == ["c0", "c1"]
    assert world.outcomes[str(asked.id)] == 200


async def test_a_repeated_command_whose_outcome_is_not_shown_yet_has_no_second_effect() -> None:
    world, trouble = World(), Trouble()
    replica = Replica(world, trouble)
    await replica.router.handle(deliveries(two_wait_for_ben()))
    asked = pull("ana")
    trouble.at, trouble.error = trouble.calls + 3, Fault  # known?, entry, then the read models
    with pytest.raises(Fault):
        await replica.router.handle(deliveries([asked], first=7))
    assert str(asked.id) not in world.outcomes
    assert await replica.router.handle(deliveries([asked], first=8)) == [DUPLICATE]
    assert grants(world) == ["c0", "c1"]
    assert world.outcomes[str(asked.id)] == 200


async def test_a_new_owner_fences_the_old_one_who_then_goes_on_from_the_journal() -> None:
    world = World()
    old, new = Replica(world), Replica(world)
    first = deliveries([profile("ana", capacity={"total": 1}), available("ana"), request("c1")])
    await old.router.handle(first)
    await new.router.assigned(frozenset({PARTITION}))
    second: list[Delivery] = deliveries([release("c1", 1), request("c2")], first=3)
    await new.router.handle(second)
    published = len(world.published)
    with pytest.raises(PoolTaken):
        await old.router.handle(second)
    assert old.observer.conflicts == 1
    assert len(world.published) == published
    assert await old.router.handle(second) == [DUPLICATE, DUPLICATE]
    assert len(effects(world)) == published


async def test_an_old_owner_that_wakes_in_a_tick_harms_nothing_and_stands_back() -> None:
    world = World()
    old, new = Replica(world), Replica(world)
    await old.router.handle(deliveries([profile("ana"), available("ana"), request("c1"), heartbeat("ana")]))
    await old.tick()
    await new.router.assigned(frozenset({PARTITION}))
    owned = len(world.journal)
    old.now += timedelta(seconds=100)
    with pytest.raises(PoolTaken):
        await old.router.tick()
    await old.tick(2)
    assert len(world.journal) == owned
    assert [record.type for record in world.records()].count("routing.unassigned") == 0


async def test_time_passes_in_owned_pools() -> None:
    world = World()
    replica = Replica(world)
    await replica.router.handle(
        deliveries([profile("ana"), available("ana"), request("c1"), heartbeat("ana")])
    )
    await replica.tick(29)
    assert "routing.unassigned" not in {record.type for record in world.records()}
    await replica.tick(2)
    assert "routing.unassigned" in {record.type for record in world.records()}


async def test_ticks_without_anything_due_are_not_journaled() -> None:
    world = World()
    replica = Replica(world)
    await replica.router.handle(deliveries([profile("ana"), available("ana"), request("c1")]))
    entries = len(world.journal)
    await replica.tick(60)
    assert len(world.journal) == entries


async def test_nobody_is_lost_for_heartbeats_that_could_not_be_heard() -> None:
    world = World()
    replica = Replica(world)
    await replica.router.handle(
        deliveries([profile("ana"), available("ana"), request("c1"), heartbeat("ana")])
    )
    await replica.tick()
    replica.now += timedelta(minutes=2)
    await replica.tick(20)
    assert "routing.unassigned" not in {record.type for record in world.records()}


async def test_time_waits_for_commands_not_yet_read() -> None:
    world = World()
    replica = Replica(world)
    await replica.router.handle(
        deliveries([profile("ana"), available("ana"), request("c1"), heartbeat("ana")])
    )
    moments: list[datetime | None] = [None]
    replica.router.caught_up = lambda _: moments[0]
    replica.now += timedelta(minutes=2)
    await replica.tick()
    assert "routing.unassigned" not in {record.type for record in world.records()}


def ana_at_work(pool: str = POOL) -> list[Envelope]:
    commands = (profile("ana"), available("ana"), request("c1"), heartbeat("ana"))
    return [
        each.model_copy(update={"data": each.data.model_copy(update={"pool": pool})}) for each in commands
    ]


async def test_time_passes_in_the_other_pools_while_one_fails() -> None:
    world = World()
    replica = Replica(world)
    broken = "a-broken"
    assert broken < POOL
    await replica.router.handle(deliveries(ana_at_work(broken) + ana_at_work()))
    await replica.tick()
    world.broken.add(broken)
    replica.now += timedelta(seconds=4)
    await replica.tick(24)
    for _ in range(2):
        replica.now += timedelta(seconds=2)
        with pytest.raises(Fault):
            await replica.router.tick()
    lost = [each.data.pool for each in world.records() if isinstance(each, RoutingUnassigned)]
    assert lost == [POOL]


async def test_a_pool_that_cannot_be_taken_over_holds_up_no_other() -> None:
    world = World()
    await Replica(world).router.handle(deliveries(ana_at_work("a-broken") + ana_at_work()))
    replica = Replica(world)
    world.broken.add("a-broken")
    before = len(world.journal)
    await replica.router.assigned(frozenset({PARTITION, partition_of("a-broken")}))
    assert [pool for pool, _ in list(world.journal)[before:]] == [POOL]


async def test_a_revoked_pool_is_let_go() -> None:
    world = World()
    replica = Replica(world)
    await replica.router.handle(
        deliveries([profile("ana"), available("ana"), request("c1"), heartbeat("ana")])
    )
    await replica.router.revoked(frozenset({PARTITION}))
    entries = len(world.journal)
    await replica.tick(60)
    assert len(world.journal) == entries


async def test_a_take_over_that_fails_is_made_good_by_a_tick() -> None:
    world = World()
    commands: Sequence[Envelope] = [profile("ana"), available("ana"), request("c1"), heartbeat("ana")]
    await Replica(world).router.handle(deliveries(commands))
    replica = Replica(world, Trouble(1, error=Fault))
    await replica.router.assigned(frozenset({PARTITION}))
    await replica.tick(40)
    assert "routing.unassigned" in {record.type for record in world.records()}


async def test_pools_do_not_share_order_or_numbers() -> None:
    world = World()
    other = request("c9").model_copy(update={"data": request("c9").data.model_copy(update={"pool": "other"})})
    outcomes = await Replica(world).router.handle(
        deliveries([profile("ana"), other, available("ana"), request("c1")])
    )
    assert outcomes == [HANDLED] * 4
    assert {pool for pool, _ in world.journal} == {POOL, "other"}


async def test_agents_are_announced_by_agent_and_decisions_by_customer() -> None:
    world = World()
    await Replica(world).router.handle(deliveries([profile("ana"), available("ana"), request("c1")]))
    keys = {(record.topic, record.key) for record in world.published}
    assert keys == {("agents.events", "ana"), ("routing.decisions", "customer-c1")}
    assert isinstance(world.records()[0], AgentChanged)
