"""Each event reaches each endpoint at least once and in order per Customer, whatever the endpoint does."""

import asyncio
import json
from collections import Counter
from datetime import timedelta

import pytest

from schemas.hooks import PauseReason
from services.chassis.problems import Problem
from services.notifier.webhooks.rules import Answer, EndpointState, Post
from tests.integration.notifier_webhooks.conftest import DOWN, KEPT, OK, Hooks, name_of


async def test_events_go_out_once_and_in_order_per_customer(hooks: Hooks) -> None:
    webhook = await hooks.subscribe()
    batch = hooks.write("a-1", "b-1", "a-2", "a-3")
    await hooks.accept(batch)
    await hooks.accept(batch)
    await hooks.send_due()
    await hooks.accept(batch)
    await hooks.send_due()
    assert sorted(hooks.receiver.accepted()) == ["a-1", "a-2", "a-3", "b-1"]
    hooks.check_order()
    assert set((await hooks.states(webhook)).values()) == {"delivered"}
    row = await hooks.posts.collection.find_one({})
    assert row is not None
    assert not {"head", "body", "claim", "settle", "claimed_until", "next_at"} & row.keys()
    assert row["expires"] - row["finished_at"] == KEPT


async def test_only_what_was_asked_for_and_nothing_from_before(hooks: Hooks) -> None:
    old = hooks.write("a-0")
    hooks.later(3600)
    await hooks.subscribe("notes", "note.*")
    webhook = await hooks.subscribe("all", "message.added")
    await hooks.accept([*old, *hooks.write("a-1")])
    await hooks.send_due()
    assert hooks.receiver.accepted() == ["a-1"]
    assert await hooks.states(webhook) == {"a-1": "delivered"}


async def test_without_a_subscription_nothing_is_written(hooks: Hooks) -> None:
    await hooks.happen("a-1", "b-1")
    assert await hooks.posts.collection.count_documents({}) == 0


async def test_a_failure_holds_up_its_customer_and_nobody_else(hooks: Hooks) -> None:
    await hooks.subscribe()

    def answer(post: Post) -> Answer:
        bad = [name for name, taken in hooks.receiver.asked if not taken]
        return Answer(500) if name_of(post) == "a-1" and len(bad) < 2 else OK

    hooks.receiver.answer = answer
    await hooks.happen("a-1", "a-2", "b-1", "b-2")
    await hooks.send_due()
    assert hooks.receiver.asked == [("a-1", False), ("b-1", True), ("b-2", True)]
    hooks.later(4.9)
    await hooks.send_due()
    assert len(hooks.receiver.asked) == 3
    hooks.later(0.2)
    await hooks.send_due()
    assert hooks.receiver.asked[3:] == [("a-1", False)]
    hooks.later(300)
    await hooks.send_due()
    assert hooks.receiver.asked[4:] == [("a-1", True), ("a-2", True)]
    hooks.check_order()


async def test_a_refused_event_is_given_up_after_days_and_the_next_goes(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda post: Answer(500) if name_of(post) == "a-1" else OK
    webhook = await hooks.subscribe()
    await hooks.happen("a-1", "a-2")
    for hour in range(90):
        await hooks.send_for(1)
        await hooks.happen(f"b-{hour}")
    await hooks.send_due()
    assert await hooks.states(webhook) | {"a-1": "given_up", "a-2": "delivered"} == await hooks.states(
        webhook
    )
    endpoint = await hooks.commands.found(webhook)
    assert endpoint.state is EndpointState.ACTIVE
    asked = [name for name, _ in hooks.receiver.asked]
    assert asked.count("a-1") == 10
    assert asked.index("a-2") > len(asked) - 40


async def test_a_dead_endpoint_is_paused_says_so_and_catches_up_in_order(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda _: DOWN
    webhook = await hooks.subscribe()
    await hooks.happen("a-1", "b-1", "a-2")
    await hooks.send_for(24 * 6)
    endpoint = await hooks.commands.found(webhook)
    assert (endpoint.state, endpoint.reason) == (EndpointState.PAUSED, PauseReason.FAILING)
    assert endpoint.paused_at is not None
    assert endpoint.failing_since is not None
    assert timedelta(days=3) <= endpoint.paused_at - endpoint.failing_since <= timedelta(days=4)
    (record,) = [json.loads(each.value) for each in hooks.log.records]
    assert (record["type"], record["data"]["reason"]) == ("webhook.paused", "failing")

    asked = len(hooks.receiver.asked)
    await hooks.happen("a-3", "c-1")
    await hooks.happen("b-2")
    await hooks.send_for(24 * 30)
    assert len(hooks.receiver.asked) == asked
    assert "a-3" not in await hooks.states(webhook)

    hooks.receiver.answer = lambda _: OK
    await hooks.patch(webhook, paused=False)
    await hooks.happen("a-4")
    await hooks.send_due()
    assert hooks.receiver.accepted() == []
    await hooks.readings.round()
    await hooks.send_due()
    assert sorted(hooks.receiver.accepted()) == ["a-1", "a-2", "a-3", "a-4", "b-1", "b-2", "c-1"]
    hooks.check_order()
    assert [json.loads(each.value)["type"] for each in hooks.log.records] == [
        "webhook.paused",
        "webhook.resumed",
    ]
    again = await hooks.commands.found(webhook)
    assert (again.state, again.failures, again.reading, again.missed) == (EndpointState.ACTIVE, 0, None, {})


async def test_an_endpoint_that_comes_back_by_itself_need_not_wait_for_the_schedule(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda _: DOWN
    await hooks.subscribe()
    await hooks.happen("a-1", "b-1", "c-1", "d-1")
    await hooks.send_for(20)
    hooks.receiver.answer = lambda _: OK
    await hooks.happen("e-1")
    hooks.later(301)
    await hooks.send_due()
    assert sorted(hooks.receiver.accepted()) == ["a-1", "b-1", "c-1", "d-1", "e-1"]


async def test_another_url_is_tried_at_once(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda _: DOWN
    webhook = await hooks.subscribe()
    await hooks.happen("a-1", "b-1")
    await hooks.send_for(10)
    hooks.receiver.answer = lambda _: OK
    changed = await hooks.patch(webhook, url="https://elsewhere.example/hook")
    assert (changed.failures, changed.failing_since) == (0, None)
    await hooks.send_due()
    assert sorted(hooks.receiver.accepted()) == ["a-1", "b-1"]


async def test_gone_pauses_at_once_and_loses_nothing(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda _: Answer(410)
    webhook = await hooks.subscribe()
    await hooks.happen("a-1", "a-2")
    await hooks.send_for(24)
    assert hooks.receiver.asked == [("a-1", False)]
    assert (await hooks.commands.found(webhook)).reason is PauseReason.GONE
    hooks.receiver.answer = lambda _: OK
    await hooks.patch(webhook, paused=False)
    await hooks.readings.round()
    await hooks.send_due()
    assert hooks.receiver.accepted() == ["a-1", "a-2"]


async def test_retry_after_is_heeded_by_all_that_waits(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda _: Answer(429, after=timedelta(seconds=90))
    await hooks.subscribe()
    await hooks.happen("a-1", "b-1")
    await hooks.send_due()
    assert len(hooks.receiver.asked) == 1
    hooks.receiver.answer = lambda _: OK
    hooks.later(89)
    await hooks.send_due()
    assert hooks.receiver.accepted() == []
    hooks.later(2)
    await hooks.send_due()
    assert sorted(hooks.receiver.accepted()) == ["a-1", "b-1"]


async def test_a_hanging_endpoint_holds_up_only_itself(hooks: Hooks) -> None:
    slow, fast = await hooks.subscribe("slow"), await hooks.subscribe("fast")
    hooks.receiver.hold[slow] = asyncio.Event()
    running = asyncio.create_task(hooks.posting.run())
    names = [f"{customer}-1" for customer in "abcdefgh"]
    await hooks.happen(*names)
    await _until(hooks, fast, {"delivered": 8})
    await _until(hooks, slow, {"claimed": 4, "waiting": 4})
    hooks.receiver.hold[slow].set()
    await _until(hooks, slow, {"delivered": 8})
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sorted(hooks.receiver.accepted()) == sorted(names * 2)


async def test_a_stop_does_not_wait_for_an_endpoint_without_end(hooks: Hooks) -> None:
    webhook = await hooks.subscribe()
    hooks.receiver.hold[webhook] = asyncio.Event()
    running = asyncio.create_task(hooks.posting.run())
    await hooks.happen("a-1", "b-1")
    await _until(hooks, webhook, {"claimed": 2})
    running.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(running, return_exceptions=True)
    hooks.receiver.hold.clear()
    hooks.later(61)
    await hooks.posting.sweep()
    await hooks.send_due()
    assert sorted(hooks.receiver.accepted()) == ["a-1", "b-1"]


async def _until(hooks: Hooks, webhook: str, counts: dict[str, int]) -> None:
    async with asyncio.timeout(30):
        while Counter((await hooks.states(webhook)).values()) != counts:
            await asyncio.sleep(0.02)


async def test_a_replay_sends_again_from_a_point_in_order_and_before_what_is_new(hooks: Hooks) -> None:
    webhook = await hooks.subscribe()
    await hooks.happen("a-1", "b-1")
    hooks.later(3600)
    point = hooks.now
    await hooks.happen("a-2", "b-2", "a-3")
    await hooks.send_due()
    first = len(hooks.receiver.asked)
    hooks.later(3600)
    await hooks.commands.replay(webhook, point)
    with pytest.raises(Problem) as refused:
        await hooks.commands.replay(webhook, point)
    assert (refused.value.status, refused.value.body["state"]) == (409, "reading")
    await hooks.happen("a-4")
    await hooks.send_due()
    assert len(hooks.receiver.asked) == first
    await hooks.readings.round()
    await hooks.readings.round()
    await hooks.send_due()
    again = hooks.receiver.accepted()[first:]
    assert [name for name in again if name.startswith("a")] == ["a-2", "a-3", "a-4"]
    assert [name for name in again if name.startswith("b")] == ["b-2"]
    hooks.check_order()
    await hooks.send_for(1)
    assert len(hooks.receiver.asked) == first + 4


async def test_a_replay_resumes_a_paused_endpoint_and_has_what_it_missed(hooks: Hooks) -> None:
    webhook = await hooks.subscribe()
    await hooks.happen("a-1")
    await hooks.send_due()
    await hooks.patch(webhook, paused=True)
    hooks.later(3600)
    await hooks.happen("a-2")
    hooks.later(3600)
    point = hooks.now
    await hooks.happen("a-3")
    await hooks.commands.replay(webhook, point)
    await hooks.readings.round()
    await hooks.send_due()
    assert hooks.receiver.accepted() == ["a-1", "a-2", "a-3"]


async def test_an_interrupted_request_is_made_again_under_the_same_id(hooks: Hooks) -> None:
    webhook = await hooks.subscribe()
    await hooks.happen("a-1")
    assert await hooks.posts.claim(webhook, "a replica that dies", timedelta(seconds=60))
    await hooks.posting.sweep()
    await hooks.send_due()
    assert hooks.receiver.asked == []
    hooks.later(61)
    await hooks.posting.sweep()
    await hooks.send_due()
    assert hooks.receiver.accepted() == ["a-1"]


async def test_a_deleted_subscription_leaves_nothing(hooks: Hooks) -> None:
    hooks.receiver.answer = lambda _: DOWN
    webhook = await hooks.subscribe()
    await hooks.happen("a-1", "a-2")
    await hooks.send_due()
    await hooks.commands.delete(webhook)
    assert await hooks.posts.collection.count_documents({}) == 0
    with pytest.raises(Problem) as gone:
        await hooks.patch(webhook, paused=True)
    assert gone.value.status == 404
    # what a batch in flight stored after it
    other = await hooks.subscribe("other")
    await hooks.happen("a-3")
    await hooks.endpoints.delete(other)
    await hooks.posting.sweep()
    assert await hooks.posts.collection.count_documents({}) == 0


async def test_an_endpoint_resumed_while_a_batch_is_read_misses_nothing(hooks: Hooks) -> None:
    webhook = await hooks.subscribe()
    await hooks.patch(webhook, paused=True)
    stale = await hooks.endpoints.all()
    await hooks.patch(webhook, paused=False)
    real, answers = hooks.endpoints.all, [stale]

    async def first_stale() -> list[object]:
        return list(answers.pop()) if answers else list(await real())

    hooks.endpoints.all = first_stale  # type: ignore[method-assign, assignment]
    await hooks.happen("a-1")
    assert answers == []
    await hooks.send_due()
    assert hooks.receiver.accepted() == ["a-1"]
