"""Who sees what, from copies of what the router and identity told."""

from collections.abc import AsyncIterator

import pytest

from schemas import ids
from schemas.conversations import Status
from schemas.routing import AgentChanged, AgentStateData, ProfilePersonal
from services.chassis.auth import Principal, Role
from services.chassis.delivery import Delivery
from services.chassis.mongo import connect
from services.chassis.problems import Problem
from services.chassis.settings import Settings
from services.conversation.access import Access
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.store import Store
from tests.crash import Log
from tests.unit.conversation.builders import INBOXES, START, message

ANA = Principal("ana", frozenset({Role.AGENT}))
LEA = Principal("lea", frozenset({Role.LEAD}))


@pytest.fixture
async def store(embedded_mongo: str, database_name: str) -> AsyncIterator[Store]:
    database = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "access")
    made = Store(database, Log())
    await Threads(made, INBOXES, next_due).apply(
        ATTACH,
        [
            Delivery("t", 0, n, message(n, customer=f"c-{inbox}", inbox=inbox))
            for n, inbox in enumerate(INBOXES)
        ],
    )
    yield made
    await database.client.close()


def news(seq: int, *inboxes: str) -> Delivery:
    own = ids.derive("news", seq)
    data = AgentStateData(agent="ana", pool="main", inboxes=inboxes)
    personal = ProfilePersonal(name="Ana")
    return Delivery(
        "t",
        0,
        seq,
        AgentChanged(id=own, occurred_at=START, correlation=own, seq=seq, data=data, personal=personal),
    )


async def test_the_newest_state_of_an_agent_counts_whatever_comes_after_it(store: Store) -> None:
    access = Access(store)
    await access.learn([news(5, "support"), news(6, "vip"), news(5, "support")])
    assert await access.inboxes(ANA) == ["vip"]
    await access.learn([news(5, "support")])
    assert await access.inboxes(ANA) == ["vip"]


async def test_an_agent_sees_customers_of_own_inboxes_and_a_lead_all(store: Store) -> None:
    access = Access(store)
    await access.learn([news(1, "support")])
    await access.customer(ANA, "c-support")
    await access.customer(LEA, "c-vip")
    for hidden in ("c-vip", "nobody"):
        with pytest.raises(Problem) as refusal:
            await access.customer(ANA, hidden)
        assert refusal.value.status == 404


async def test_a_customer_without_conversations_is_seen_once_identity_has_told(store: Store) -> None:
    access = Access(store)
    with pytest.raises(Problem):
        await access.customer(LEA, "made-by-hand")
    await store.learn_customers(["made-by-hand"])
    await access.customer(LEA, "made-by-hand")
    await access.customer(ANA, "made-by-hand")


async def test_conversations_that_are_not_closed_are_counted_by_status(store: Store) -> None:
    assert await store.current() == {Status.NEW: len(INBOXES), Status.OPEN: 0, Status.WAITING: 0}
