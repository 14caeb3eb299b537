"""Batches of messages onto threads by the real store, against the bulk writes that takes, made without it.

Subject and control write the same documents into databases alike, on one server; nobody publishes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.chassis.delivery import Delivery
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database, connect
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.store import Store
from tests.bench.figures import Figure, Pair, at_least, compared
from tests.bench.messages import identified
from tests.bench.processes import Cost, servers
from tests.bench.profiles import profiled
from tests.bench.raw import Stretch, TakenDown, Unheard, again, measured
from tests.bench.setup import Setup

BATCH = 500
INBOXES = {"support": Inbox(name="support")}
WHAT = {"new Customers": False, "returning Customers": True}


async def run(setup: Setup) -> list[Figure]:
    """Return messages a second, and their processor time, for new and for returning Customers."""
    customers = setup.sized(smoke=20, small=1_000, full=5_000)
    rounds = setup.sized(smoke=1, small=3, full=5)
    subject, control = connect(setup.settings, "attach"), connect(setup.settings, "attach_control")
    for database in (subject, control):
        await Store(database, Unheard()).prepare()
    pairs: dict[str, list[tuple[Stretch, Stretch]]] = {name: [] for name in WHAT}
    count = 0
    for turn in range(rounds):
        for name in WHAT:
            count += 1
            pairs[name].append(await _pair(subject, control, _messages(turn, customers, count)))
    async with profiled(setup.profiles, "attach"):
        await _pair(subject, control, _messages(rounds, customers, count + 1))
    for database in (subject, control):
        await database.client.close()
    return [figure for name, of_name in pairs.items() for figure in _figures(name, customers, of_name)]


def _messages(turn: int, customers: int, count: int) -> list[Delivery]:
    """Return a message of each of the round's Customers."""
    now = datetime.now(UTC)
    people = (f"attach-{turn}-{number}" for number in range(customers))
    return [Delivery("t", 0, n, identified(who, count, now)) for n, who in enumerate(people)]


async def _pair(
    subject: Database, control: Database, messages: Sequence[Delivery]
) -> tuple[Stretch, Stretch]:
    taken = TakenDown(subject)
    threads = Threads(Store(taken, Unheard()), INBOXES, next_due)  # type: ignore[arg-type]

    async def attach() -> None:
        for start in range(0, len(messages), BATCH):
            await threads.apply(ATTACH, messages[start : start + BATCH])

    server = Cost(servers())
    attached = await measured(attach, server)
    return attached, await measured(lambda: again(control, taken.bulks), server)


def _figures(name: str, messages: int, pairs: Sequence[tuple[Stretch, Stretch]]) -> list[Figure]:
    control = "the same bulk writes alone"
    return [
        compared(
            f"attach, {name}",
            "messages/s",
            [Pair(messages / one.seconds, messages / other.seconds) for one, other in pairs],
            control=control,
            target=at_least(0.7),
        ),
        compared(
            f"… {name}, processor time of client and server",
            "ms/message",
            [
                Pair(1000 * one.processor / messages, 1000 * other.processor / messages)
                for one, other in pairs
            ],
            control=control,
        ),
    ]
