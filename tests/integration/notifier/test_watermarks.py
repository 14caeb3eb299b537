"""Receipts that cover all messages to a person up to a moment, whenever they come."""

import asyncio

import pytest

from schemas.common import DeliveryStatus
from services.chassis.mongo import Database
from services.notifier.channels import Refused, Unknown
from services.notifier.settings import NotifierSettings
from tests import crash
from tests.integration.notifier.conftest import Notifier
from tests.unit.notifier.builders import receipt, reply, watermark

S = DeliveryStatus
SOURCE = "messenger/demo"


async def sent(notifier: Notifier, *names: str, to: str = "PSID1", gap: float = 10) -> None:
    """Send one after another, `gap` seconds between them."""
    for seq, name in enumerate(names, start=1):
        await notifier.accept(reply(name, seq=seq, provider="messenger", to=to, customer=f"of-{to}"))
        await notifier.send_all(SOURCE)
        notifier.later(gap)


async def test_a_watermark_covers_what_was_sent_until_then_and_nothing_later(notifier: Notifier) -> None:
    await sent(notifier, "a", "b", "c")
    await notifier.receive(watermark(S.DELIVERED, 15))
    assert [notifier.published(name)[-1] for name in "abc"] == [
        (2, "delivered"),
        (2, "delivered"),
        (1, "sent"),
    ]
    await notifier.receive(watermark(S.READ, 5, seconds=60), watermark(S.DELIVERED, 25))
    assert [notifier.published(name)[-1] for name in "abc"] == [
        (3, "read"),
        (2, "delivered"),
        (2, "delivered"),
    ]


async def test_another_persons_messages_are_left_alone(notifier: Notifier) -> None:
    await sent(notifier, "a")
    await sent(notifier, "z", to="PSID2")
    await notifier.receive(watermark(S.READ, 100))
    assert (notifier.published("a")[-1], notifier.published("z")) == ((2, "read"), [(1, "sent")])


async def test_watermarks_in_any_order_and_again_end_in_the_same_and_never_fall_back(
    notifier: Notifier,
) -> None:
    await sent(notifier, "a", "b")
    marks = [watermark(S.READ, 15, seconds=16), watermark(S.DELIVERED, 5), watermark(S.READ, 5, seconds=6)]
    for each in (*marks, *reversed(marks)):
        await notifier.receive(each)
    assert [notifier.published(name) for name in "ab"] == [[(1, "sent"), (2, "read")]] * 2


async def test_a_watermark_that_comes_while_the_request_is_out_waits_for_its_outcome(
    notifier: Notifier,
) -> None:
    await notifier.accept(reply("a", provider="messenger", to="PSID1"))
    claimed = await notifier.claim(SOURCE)
    assert claimed is not None
    await notifier.receive(watermark(S.READ, 1))
    await notifier.receive(watermark(S.READ, -5, seconds=2))
    assert notifier.published("a") == []
    await notifier.sending.send(claimed)
    assert notifier.published("a") == [(1, "sent"), (2, "read")]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Refused("551", "x", "invalid_recipient"), "failed"), (Unknown("no answer"), "unknown")],
)
async def test_a_watermark_says_nothing_of_what_the_provider_never_took(
    outcome: BaseException, status: str, notifier: Notifier
) -> None:
    notifier.provider.answer = lambda _: outcome
    await sent(notifier, "a")
    await notifier.receive(watermark(S.READ, 100))
    assert notifier.published("a") == [(1, status)]


async def test_an_echo_shows_that_an_unanswered_message_was_sent_and_so_also_read(notifier: Notifier) -> None:
    notifier.provider.answer = lambda _: Unknown("no answer")
    await sent(notifier, "a")
    await notifier.receive(watermark(S.READ, 100))
    await notifier.receive(receipt("m_1", S.SENT, seconds=2, name="a", provider="messenger"))
    assert notifier.published("a")[-1][1] == "read"


async def test_the_providers_own_time_of_a_message_decides(notifier: Notifier) -> None:
    notifier.later(60)  # our clock is a minute ahead
    await sent(notifier, "a")
    await notifier.receive(watermark(S.READ, 5))
    assert notifier.published("a") == [(1, "sent")]
    await notifier.receive(receipt("P-a", S.SENT, seconds=5, provider="messenger"))
    assert notifier.published("a") == [(1, "sent"), (2, "read")]


async def test_a_watermark_before_any_message_covers_none_that_follows(notifier: Notifier) -> None:
    await notifier.receive(watermark(S.READ, -5))
    await sent(notifier, "a")
    assert notifier.published("a") == [(1, "sent")]


async def test_providers_without_watermarks_are_found_by_none(notifier: Notifier) -> None:
    await notifier.accept(reply("a", to="PSID1"))
    await notifier.send_all()
    await notifier.receive(watermark(S.READ, 100))
    assert notifier.published("a") == [(1, "sent")]
    assert "recipient" not in await notifier.stored("a")


async def test_watermarks_and_answers_at_the_same_time_all_arrive(notifier: Notifier) -> None:
    names = [f"m{number}" for number in range(12)]
    await notifier.accept(*(reply(name, customer=name, provider="messenger", to=name) for name in names))
    claims = [await notifier.claim(SOURCE, name=name) for name in names]
    await asyncio.gather(
        *(notifier.sending.send(claim) for claim in claims if claim is not None),
        *(notifier.receive(watermark(S.READ, 100, to=name)) for name in names),
    )
    assert [(await notifier.stored(name))["status"] for name in names] == ["read"] * len(names)


async def test_a_crash_at_any_step_loses_no_watermark(database: Database, settings: NotifierSettings) -> None:
    crashes = 0
    for step in range(1, 60):
        fuse = crash.Fuse(None)
        dying = Notifier(crash.Database(database, fuse), settings, crash.Log(fuse))
        living = Notifier(database, settings, dying.log)
        known, early = f"known-{step}", f"early-{step}"
        await living.accept(*(reply(name, customer=name, provider="messenger", to=name) for name in (known,)))
        await living.send_all(SOURCE)
        await living.accept(reply(early, customer=early, provider="messenger", to=early))
        claimed = await living.claim(SOURCE)
        assert claimed is not None
        fuse.at, fuse.steps = step, 0
        marks = [watermark(S.READ, 100, to=known), watermark(S.READ, 100, to=early)]
        try:
            await dying.receive(*marks)
            await dying.sending.send(claimed)
        except crash.Crash:
            crashes += 1
        crashed = crashes == step
        fuse.at = None
        await living.receive(*marks)
        await living.heal()
        assert [status for _, status in living.published(known)] == ["sent", "read"]
        ended = [status for _, status in living.published(early)]
        assert ended in (["sent", "read"], ["unknown"])  # unknown: died between the request and its saving
        assert (await living.stored(early))["outbox"] == []
        for each in (dying, living):
            await each.sending.client.aclose()
        if not crashed:
            break
    assert crashes == step - 1 > 8


async def test_a_visitor_has_read_what_was_written_before_even_if_it_is_stored_later(
    notifier: Notifier,
) -> None:
    read = watermark(S.READ, 0, provider="webchat", to="visitor-1")
    await notifier.receive(read)
    await notifier.accept(reply("a", provider="webchat", to="visitor-1"))
    assert notifier.published("a")[-1][1] == "read"
