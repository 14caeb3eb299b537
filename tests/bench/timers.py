"""Timers that are due in the same second, fired by the real loop, against the bulk writes that takes."""

from datetime import UTC, datetime, timedelta

from schemas.conversations import Status
from services.chassis.delivery import Delivery
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Database, connect
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.timers import next_due
from services.conversation.handlers import Threads
from services.conversation.loops import fire
from services.conversation.settings import ConversationSettings
from services.conversation.store import Store
from tests.bench.figures import Figure, Pair, at_least, compared
from tests.bench.messages import identified
from tests.bench.processes import Cost, servers
from tests.bench.profiles import profiled
from tests.bench.raw import Stretch, TakenDown, Unheard, again, measured
from tests.bench.setup import Setup

BATCH = ConversationSettings.model_fields["timer_batch"].default
INBOXES = {"support": Inbox(name="support")}
PARTITIONS = range(12)
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


async def run(setup: Setup) -> list[Figure]:
    """Return timers a second and their processor time; raises ValueError unless each fired once."""
    number = setup.sized(smoke=30, small=10_000, full=10_000)
    rounds = setup.sized(smoke=1, small=2, full=3)
    subject, control = connect(setup.settings, "timers"), connect(setup.settings, "timers_control")
    await _seed(subject, control, number)
    pairs = [await _pair(subject, control, number, turn) for turn in range(1, rounds + 1)]
    async with profiled(setup.profiles, "timers"):
        await _pair(subject, control, number, rounds + 1)
    for database in (subject, control):
        await database.client.close()
    beside = "the same bulk writes alone"
    return [
        compared(
            f"{number:,} timers due in the same second",
            "timers/s",
            [Pair(number / one.seconds, number / other.seconds) for one, other in pairs],
            control=beside,
            target=at_least(0.5),
        ),
        compared(
            "… processor time of client and server",
            "ms/timer",
            [Pair(1000 * one.processor / number, 1000 * other.processor / number) for one, other in pairs],
            control=beside,
        ),
    ]


async def _seed(subject: Database, control: Database, number: int) -> None:
    """Let as many Customers wait for the router, which never answers: its timers come again and again."""
    taken = TakenDown(subject)
    for database in (subject, control):
        await Store(database, Unheard()).prepare()
    threads = Threads(Store(taken, Unheard(), lambda: START), INBOXES, next_due)  # type: ignore[arg-type]
    messages = [identified(f"timer-{n}", n, START) for n in range(number)]
    for start in range(0, number, BATCH):
        some = messages[start : start + BATCH]
        await threads.apply(ATTACH, [Delivery("t", 0, n, item) for n, item in enumerate(some)])
    await again(control, taken.bulks)


async def _pair(subject: Database, control: Database, number: int, turn: int) -> tuple[Stretch, Stretch]:
    now = START + timedelta(hours=turn)
    taken, unheard = TakenDown(subject), Unheard()
    store = Store(taken, unheard, lambda: now)  # type: ignore[arg-type]
    threads = Threads(store, INBOXES, next_due, lambda: now)
    bounds = dict.fromkeys(PARTITIONS, now)
    server = Cost(servers())
    fired = await measured(lambda: fire(threads, store, bounds, BATCH), server)
    await _check(subject, number, turn, unheard.records)
    return fired, await measured(lambda: again(control, taken.bulks), server)


async def _check(subject: Database, number: int, turn: int, records: int) -> None:
    """Raise ValueError unless every request was made again once: one try more, one record and its log."""
    tries = {"state.current.status": Status.NEW, "state.current.routing.tries": turn}
    if await subject["threads"].count_documents(tries) != number or records != 2 * number:
        raise ValueError("a timer fired twice, or not at all")
