"""A crash at every step of a subscription's life, then another replica: nothing is lost, the order holds."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.chassis.mongo import Database
from services.notifier.settings import NotifierSettings
from services.notifier.webhooks.rules import Answer
from tests import crash
from tests.integration.notifier_webhooks.conftest import OK, Hooks, Past, Receiver

MOST_STEPS = 200
Step = Callable[[Hooks], Awaitable[object]]
ALL = ["a-1", "b-1", "a-2", "a-3", "a-4"]


async def _answering(hooks: Hooks, answer: Answer, hours: float) -> None:
    hooks.receiver.answer = lambda _: answer
    await hooks.send_for(hours)


def _accept(*names: str) -> Step:
    """A batch stays what it is, however often it is read."""

    async def step(hooks: Hooks) -> None:
        known = {each.message.personal.text: each for found in hooks.past.records.values() for each in found}
        await hooks.accept([known.get(name) or hooks.write(name)[0] for name in names])

    return step


async def _resume(hooks: Hooks) -> None:
    for endpoint in await hooks.endpoints.all():
        await hooks.patch(endpoint.id, paused=False)


STEPS: list[Step] = [
    _accept("a-1", "b-1", "a-2"),
    lambda hooks: _answering(hooks, Answer(500), 0.001),
    lambda hooks: _answering(hooks, Answer(410), 1),
    _accept("a-3"),
    _resume,
    _accept("a-4"),
    lambda hooks: _answering(hooks, OK, 1),
]


async def _life(database: Database, settings: NotifierSettings, at: int | None) -> tuple[Hooks, crash.Fuse]:
    """Live through all steps; after a crash another replica begins with the step that was not finished."""
    fuse = crash.Fuse(at)
    past, receiver, log = Past(), Receiver(fuse=fuse), crash.Log(fuse)
    hooks = Hooks(crash.Database(database, fuse), settings, past, receiver, log)
    done = 0
    try:
        webhook = await hooks.subscribe()
        while done < len(STEPS):
            await STEPS[done](hooks)
            done += 1
    except crash.Crash:
        receiver.fuse = log.fuse = crash.Fuse(None)
        hooks = Hooks(database, settings, past, receiver, log, hooks.now + timedelta(seconds=120))
        await hooks.posting.sweep()
        webhook = await hooks.subscribe()
        for step in STEPS[done:]:
            await step(hooks)
            hooks.later(61)
            await hooks.posting.sweep()
        await _resume(hooks)
        await _answering(hooks, OK, 1)
    assert await hooks.states(webhook) == dict.fromkeys(ALL, "delivered"), at
    hooks.check_order()
    assert set(receiver.accepted()) == set(ALL)
    assert (
        await hooks.posts.collection.count_documents({"$or": [{"head": True}, {"settle": {"$exists": True}}]})
        == 0
    )
    (endpoint,) = await hooks.endpoints.all()
    assert (endpoint.reading, endpoint.missed) == (None, {})
    (document,) = [row async for row in database["webhooks"].find({})]
    assert document["outbox"] == []
    return hooks, fuse


async def test_a_life_without_a_crash_sends_each_event_once(
    database: Database, settings: NotifierSettings
) -> None:
    hooks, fuse = await _life(database, settings, None)
    assert sorted(hooks.receiver.accepted()) == sorted(ALL)
    assert fuse.steps < MOST_STEPS


async def test_a_crash_after_any_step_loses_nothing_and_keeps_the_order(
    database: Database, settings: NotifierSettings
) -> None:
    for at in range(2, MOST_STEPS, 2):  # after each write: to others the same as before the next
        for name in ("webhooks", "posts"):
            await database[name].delete_many({})
        _, fuse = await _life(database, settings, at)
        if fuse.steps < at:
            return
    raise AssertionError("more steps than expected")
