"""Receipts find their message whichever comes first, and each is taken in once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.common import DeliveryStatus
from services.chassis.mongo import Database
from services.notifier.channels import Means, Sent
from services.notifier.settings import NotifierSettings
from tests import crash
from tests.integration.notifier.conftest import Notifier
from tests.unit.notifier.builders import receipt, reply

S = DeliveryStatus


async def sent(notifier: Notifier, *names: str) -> None:
    replies = [reply(name, customer=f"of-{name}") for name in names]
    await notifier.accept(*replies)
    await notifier.send_all()


async def parked(notifier: Notifier) -> int:
    return int(await notifier.database["parked"].count_documents({}))


async def test_receipts_move_the_status_on_by_rank(notifier: Notifier) -> None:
    await sent(notifier, "a")
    await notifier.receive(receipt("P-a", S.DELIVERED, seconds=5))
    await notifier.receive(receipt("P-a", S.SENT, seconds=4))
    await notifier.receive(receipt("P-a", S.READ, seconds=6), receipt("P-a", S.DELIVERED, seconds=5))
    assert notifier.published("a") == [(1, "sent"), (2, "delivered"), (3, "read")]


async def test_many_receipts_of_a_batch_are_one_change_a_message(notifier: Notifier) -> None:
    await sent(notifier, "a", "b")
    await notifier.receive(
        receipt("P-a", S.SENT),
        receipt("P-b", S.FAILED, error_code="30008"),
        receipt("P-a", S.DELIVERED, seconds=2),
        receipt("P-a", S.READ, seconds=3),
    )
    assert notifier.published("a") == [(1, "sent"), (2, "read")]
    assert notifier.published("b") == [(1, "sent"), (2, "failed")]
    assert (await notifier.stored("b"))["error_code"] == "30008"


async def test_a_receipt_before_the_providers_answer_waits_for_it(notifier: Notifier) -> None:
    await notifier.accept(reply("a"))
    claimed = await notifier.claim()
    assert claimed is not None
    await notifier.receive(receipt("P-a", S.DELIVERED))
    assert (await parked(notifier), notifier.published("a")) == (1, [])
    await notifier.sending.send(claimed)
    assert notifier.published("a") == [(1, "sent"), (2, "delivered")]
    assert await parked(notifier) == 0


async def test_a_receipt_that_carries_our_id_needs_no_answer(notifier: Notifier) -> None:
    await notifier.accept(reply("a"))
    claimed = await notifier.claim()
    assert claimed is not None
    await notifier.receive(receipt("P-a", S.DELIVERED, name="a"))
    await notifier.sending.send(claimed)
    assert notifier.published("a") == [(1, "delivered")]
    stored = await notifier.stored("a")
    assert (stored["state"], stored["status"], await parked(notifier)) == ("finished", "delivered", 0)


async def test_a_receipt_of_another_account_is_never_taken_for_ours(notifier: Notifier) -> None:
    await sent(notifier, "a")
    await notifier.receive(
        receipt("P-a", S.READ, account="other"),
        receipt("P-x", S.READ, provider="whatsapp", name="a"),
    )
    assert (notifier.published("a"), await parked(notifier)) == ([(1, "sent")], 2)


class Between:
    """A database that lets something happen just after a receipt was parked."""

    def __init__(self, real: Any, happens: Any) -> None:
        self._real, self._happens = real, happens

    def __getitem__(self, name: str) -> Any:
        return _Parking(self._real[name], self._happens) if name == "parked" else self._real[name]


class _Parking:
    def __init__(self, real: Any, happens: Any) -> None:
        self._real, self._happens = real, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def bulk_write(self, operations: Sequence[Any], **options: Any) -> Any:
        await self._happens()
        return await self._real.bulk_write(operations, **options)


async def test_an_answer_that_is_saved_while_its_receipt_is_being_parked_still_meets_it(
    database: Database, settings: NotifierSettings, notifier: Notifier
) -> None:
    await notifier.accept(reply("a"))
    claimed = await notifier.claim()
    assert claimed is not None
    receiving = Notifier(Between(database, lambda: notifier.sending.send(claimed)), settings, notifier.log)
    await receiving.receive(receipt("P-a", S.DELIVERED))
    assert notifier.published("a") == [(1, "sent"), (2, "delivered")]
    assert await parked(notifier) == 0
    await receiving.sending.client.aclose()


async def test_a_crash_at_any_step_loses_and_doubles_no_receipt(
    database: Database, settings: NotifierSettings
) -> None:
    crashes = 0
    for step in range(1, 60):
        fuse = crash.Fuse(step)
        dying = Notifier(crash.Database(database, fuse), settings, crash.Log(fuse))
        living = Notifier(database, settings, dying.log)
        known, early = f"known-{step}", f"early-{step}"
        fuse.at = None
        await sent(living, known)
        await living.accept(reply(early, customer=early))
        claimed = await living.claim()
        assert claimed is not None
        fuse.at, fuse.steps = step, 0
        receipts = [receipt(f"P-{known}", S.DELIVERED), receipt(f"P-{early}", S.DELIVERED)]
        try:
            await dying.receive(*receipts)
            await dying.sending.send(claimed)
        except crash.Crash:
            crashes += 1
        crashed = crashes == step
        fuse.at = None
        await living.receive(*receipts)
        await living.heal()
        assert living.published(known) == [(1, "sent"), (2, "delivered")]
        ended = living.published(early)
        asked = [*dying.provider.asked, *living.provider.asked].count(early)
        assert asked <= 1
        # a crash between the request and its saving leaves no provider id to match the receipt by
        assert [status for _, status in ended] in (["sent", "delivered"], ["unknown"])
        assert (await living.stored(early))["outbox"] == []
        for each in (dying, living):
            await each.sending.client.aclose()
        if not crashed:
            break
    assert crashes == step - 1 > 8


async def test_receipts_and_answers_at_the_same_time_all_arrive(notifier: Notifier) -> None:
    names = [f"m{number}" for number in range(12)]
    await notifier.accept(*(reply(name, customer=name) for name in names))
    claims = [await notifier.claim(name=name) for name in names]
    receipts = {
        name: [receipt(f"P-{name}", status, seconds=2) for status in (S.SENT, S.DELIVERED, S.READ)]
        for name in names
    }
    await asyncio.gather(
        *(notifier.sending.send(claim) for claim in claims if claim is not None),
        *(notifier.receive(each) for of_one in receipts.values() for each in of_one),
    )
    ended = [(await notifier.stored(name))["status"] for name in names]
    assert ended == ["read"] * len(names)
    assert await parked(notifier) == 0
    for name in names:
        seqs = sorted(seq for seq, _ in notifier.published(name))
        assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("when", ["before it is noted", "while the next is sent", "after all", "after read"])
async def test_a_failure_of_an_earlier_part_is_the_messages_whenever_it_comes(
    notifier: Notifier, when: str
) -> None:
    failure = receipt("P-first", S.FAILED, error_code="131026")

    async def in_parts(means: Means, _account: object, _message: object, /) -> Sent:
        if when == "before it is noted":
            await notifier.receive(receipt("P-first", S.SENT), failure)
        await means.took("P-first", "1 of 2")
        if when == "while the next is sent":
            await notifier.receive(failure)
        return Sent("P-last")

    notifier.sending.request = lambda _: in_parts
    await notifier.accept(reply("a"))
    await notifier.send_all()
    if when == "after all":
        await notifier.receive(failure)
    await notifier.receive(receipt("P-first", S.DELIVERED), receipt("P-last", S.DELIVERED))
    await notifier.receive(receipt("P-last", S.READ, seconds=3))
    if when == "after read":
        await notifier.receive(failure)
    stored = await notifier.stored("a")
    assert (stored["status"], stored["error_code"], stored["provider_message_id"]) == (
        "failed",
        "131026",
        "P-last",
    )
    assert stored["error_detail"] == "part 1 of 2 failed"
    assert notifier.published("a")[-1][1] == "failed"
    assert await parked(notifier) == 0
