"""Every reply is asked of its provider once, in order per Customer, and what became of it is told."""

import asyncio
from datetime import timedelta

import pytest

from schemas.common import DeliveryStatus
from schemas.outbound import MessageSend
from services.chassis.delivery import DUPLICATE, HANDLED
from services.chassis.mongo import Database
from services.notifier.channels import Means, Refused, Retry, Sent, Unknown
from services.notifier.settings import NotifierSettings
from tests import crash
from tests.integration.notifier.conftest import ACCOUNTS, Notifier, Provider, accepts
from tests.unit.notifier.builders import message_id, receipt, reply

S = DeliveryStatus
MOST_STEPS = 60


async def test_an_accepted_message_is_sent_and_asked_for_once(notifier: Notifier) -> None:
    assert await notifier.accept(reply("a"), reply("a")) == [HANDLED, DUPLICATE]
    await notifier.send_all()
    assert await notifier.accept(reply("a")) == [DUPLICATE]
    await notifier.send_all()
    assert notifier.provider.asked == ["a"]
    assert notifier.published("a") == [(1, "sent")]
    stored = await notifier.stored("a")
    assert (stored["state"], stored["provider_message_id"], stored["outbox"]) == ("finished", "P-a", [])
    assert not {"record", "head", "claim", "claimed_until"} & stored.keys()


async def test_a_refusal_is_told_with_its_code_and_not_tried_again(notifier: Notifier) -> None:
    notifier.provider.answer = lambda _: Refused("21610", "opted out", "opted_out")
    await notifier.accept(reply("a"))
    await notifier.send_all()
    notifier.later(3600)
    await notifier.send_all()
    stored = await notifier.stored("a")
    assert (stored["status"], stored["error_code"], stored["error_detail"]) == (
        "failed",
        "21610",
        "opted out",
    )
    assert (notifier.provider.asked, notifier.published("a")) == (["a"], [(1, "failed")])


async def test_an_unknown_outcome_is_told_never_sent_again_and_corrected_by_a_receipt(
    notifier: Notifier,
) -> None:
    notifier.provider.answer = lambda _: Unknown("no answer")
    await notifier.accept(reply("a"))
    await notifier.send_all()
    await notifier.heal()
    await notifier.receive(receipt("P-a", S.DELIVERED, name="a"))
    await notifier.receive(receipt("P-a", S.READ, seconds=2))
    assert notifier.provider.asked == ["a"]
    assert notifier.published("a") == [(1, "unknown"), (2, "delivered"), (3, "read")]


async def test_a_provider_that_deduplicates_is_asked_again_after_no_answer(notifier: Notifier) -> None:
    notifier.sends.deduplicates = lambda provider: provider == "twilio-sms"
    answers = iter([Unknown("no answer"), Unknown("no answer"), Sent("P-a")])
    notifier.provider.answer = lambda _: next(answers)
    await notifier.accept(reply("a"))
    for _ in range(3):
        await notifier.send_all()
        notifier.later(60)
    assert notifier.provider.asked == ["a", "a", "a"]
    assert notifier.published("a") == [(1, "sent")]


async def test_a_provider_that_deduplicates_and_never_answers_leaves_the_outcome_unknown(
    notifier: Notifier,
) -> None:
    notifier.sends.deduplicates = lambda provider: provider == "twilio-sms"
    notifier.provider.answer = lambda _: Unknown("no answer")
    await notifier.accept(reply("a"))
    await notifier.send_all()
    notifier.later(24 * 3600)
    await notifier.send_all()
    assert notifier.published("a") == [(1, "unknown")]


async def test_an_unexpected_fault_of_a_sender_is_unknown(notifier: Notifier) -> None:
    notifier.provider.answer = lambda _: RuntimeError("a bug")
    await notifier.accept(reply("a"), reply("b", seq=2))
    await notifier.send_all()
    assert notifier.published("a") == [(1, "unknown")]
    assert notifier.provider.asked == ["a", "b"]


async def test_a_retry_holds_up_its_customer_and_nobody_else(notifier: Notifier) -> None:
    def answer(message: MessageSend) -> Sent | BaseException:
        busy = message.personal.text == "a1" and notifier.provider.asked.count("a1") < 3
        return Retry(5, "429") if busy else accepts(message)

    notifier.provider.answer = answer
    await notifier.accept(
        reply("a1", seq=1), reply("a2", seq=2), reply("b1", customer="c2"), reply("a3", seq=3)
    )
    await notifier.send_all()
    assert notifier.provider.asked == ["a1", "b1"]
    notifier.later(4.9)
    await notifier.send_all()
    assert notifier.provider.asked == ["a1", "b1"]
    notifier.later(0.2)
    await notifier.send_all()
    notifier.later(10)
    await notifier.accept(reply("a4", seq=4))
    await notifier.send_all()
    assert notifier.provider.asked == ["a1", "b1", "a1", "a1", "a2", "a3", "a4"]
    assert [notifier.published(name) for name in ("a1", "a2", "a3")] == [[(1, "sent")]] * 3


async def test_one_account_never_waits_for_another(notifier: Notifier) -> None:
    notifier.provider.answer = lambda message: (
        Retry(None, "503") if message.data.provider == "whatsapp" else accepts(message)
    )
    await notifier.accept(reply("w", provider="whatsapp"), reply("s", seq=2))
    await notifier.send_all("whatsapp/demo")
    await notifier.send_all("twilio-sms/demo")
    assert (notifier.published("w"), notifier.published("s")) == ([], [(1, "sent")])


async def test_what_waits_for_an_account_that_was_taken_away_fails_at_the_limit(notifier: Notifier) -> None:
    await notifier.accept(reply("a1"), reply("a2", seq=2), reply("w", customer="c2", provider="whatsapp"))
    notifier.sends.known_account = lambda provider, _: provider == "whatsapp"
    day = timedelta(days=1)
    await notifier.sends.abandon(day)
    assert notifier.published("a1") == []
    notifier.later(day.total_seconds() + 1)
    await notifier.sends.abandon(day)
    assert [notifier.published(name) for name in ("a1", "a2", "w")] == [[(1, "failed")], [(1, "failed")], []]
    assert (await notifier.stored("a2"))["error_code"] == "no_account"
    assert (await notifier.stored("w"))["state"] == "waiting"


async def test_what_waits_is_counted_by_an_index_of_it_alone(notifier: Notifier) -> None:
    await notifier.accept(reply("a"), reply("b", seq=2), reply("w", provider="whatsapp"))
    await notifier.send_all("whatsapp/demo")
    assert await notifier.store.waiting() == {"twilio-sms/demo": 2}
    indexes = (await notifier.database["sends"].index_information()).values()
    waiting = [each for each in indexes if each.get("partialFilterExpression") == {"state": "waiting"}]
    assert [("state", 1), ("source", 1)] in [each["key"] for each in waiting]


async def test_two_claims_at_once_never_get_the_same_message(notifier: Notifier) -> None:
    await notifier.accept(*(reply(f"m{number}", customer=f"c{number}") for number in range(6)))
    claims = await asyncio.gather(*(notifier.claim(name=f"claim-{number}") for number in range(10)))
    got = [claim.message_id for claim in claims if claim is not None]
    assert sorted(got) == sorted(str(message_id(f"m{number}")) for number in range(6))


async def test_a_web_chat_message_is_sent_by_being_stored(notifier: Notifier) -> None:
    await notifier.accept(reply("a", provider="webchat", to="visitor-1"))
    assert (notifier.provider.asked, notifier.published("a")) == ([], [(1, "sent")])
    chats = await notifier.store.visitor_chats("demo/visitor-1")
    assert chats == [("conversation-of-c1", str(message_id("a")))]


async def test_a_message_waits_for_an_account_that_is_not_loaded_yet(notifier: Notifier) -> None:
    await notifier.accept(reply("a", account="new"))
    await notifier.sends.abandon(timedelta(days=1))
    assert (notifier.published("a"), (await notifier.stored("a"))["state"]) == ([], "waiting")
    notifier.sending.learn([*ACCOUNTS, ACCOUNTS[0].model_copy(update={"account": "new"})])
    await notifier.send_all("twilio-sms/new")
    assert notifier.published("a") == [(1, "sent")]


async def test_a_message_for_an_account_that_never_comes_fails_at_the_limit(notifier: Notifier) -> None:
    await notifier.accept(reply("a", account="closed"))
    notifier.later(86_401)
    await notifier.sends.abandon(timedelta(days=1))
    assert notifier.published("a") == [(1, "failed")]
    assert (await notifier.stored("a"))["error_code"] == "no_account"


async def test_a_claim_that_was_lost_on_the_way_is_given_back(notifier: Notifier) -> None:
    await notifier.accept(reply("a"))
    assert await notifier.claim(name="lost") is not None
    await notifier.store.release("twilio-sms/demo", "another")
    assert await notifier.claim() is None
    await notifier.store.release("twilio-sms/demo", "lost")
    assert (await notifier.stored("a"))["attempts"] == 0
    await notifier.send_all()
    assert notifier.published("a") == [(1, "sent")]


@pytest.mark.parametrize("outcome", ["sent", "retry", "unknown"])
async def test_a_crash_at_any_step_of_sending_never_asks_twice_and_ends_in_the_right_status(
    database: Database, settings: NotifierSettings, outcome: str
) -> None:
    answers = {
        "sent": accepts,
        "retry": lambda _: Retry(None, "503"),
        "unknown": lambda _: Unknown("?"),
    }
    crashes = 0
    for step in range(1, MOST_STEPS):
        fuse, first, second = crash.Fuse(step), f"first-{step}", f"second-{step}"
        customer = f"c{step}"
        dying = Notifier(
            crash.Database(database, fuse), settings, crash.Log(fuse), Provider(answers[outcome], fuse)
        )
        living = Notifier(database, settings, dying.log)
        await living.accept(reply(first, customer=customer), reply(second, customer=customer, seq=2))
        fuse.steps = 0
        try:
            claimed = await dying.claim()
            assert claimed is not None
            await dying.sending.send(claimed)
        except crash.Crash:
            crashes += 1
        crashed = crashes == step
        fuse.at = None
        await living.heal()
        await _check_after_crash(dying, living, outcome, first, second)
        await dying.sending.client.aclose()
        await living.sending.client.aclose()
        if not crashed:
            break
    assert crashes == step - 1 >= 6


async def _check_after_crash(
    dying: Notifier, living: Notifier, outcome: str, first: str, second: str
) -> None:
    asked = [*dying.provider.asked, *living.provider.asked]
    may_repeat = outcome == "retry" and dying.provider.asked == [first]
    assert asked.count(second) == 1
    assert asked.count(first) <= (2 if may_repeat else 1)
    assert asked.index(second) == len(asked) - 1
    ends = {"sent", "unknown"} if outcome == "retry" else {"sent", "unknown", outcome}
    told = living.published(first)
    stored = await living.stored(first)
    assert [seq for seq, _ in told] == list(range(1, stored["status_seq"] + 1))
    assert told[-1][1] == stored["status"]
    assert stored["status"] in ends
    if living.provider.asked.count(first):
        assert stored["status"] == "sent"
    elif outcome != "retry" and stored.get("error_code") != "interrupted":
        assert stored["status"] == outcome
    assert stored["outbox"] == []
    assert living.published(second) == [(1, "sent")]


async def test_a_crash_at_any_step_of_storing_loses_and_doubles_nothing(
    database: Database, settings: NotifierSettings
) -> None:
    crashes = 0
    for step in range(1, MOST_STEPS):
        fuse = crash.Fuse(step)
        dying = Notifier(crash.Database(database, fuse), settings, crash.Log(fuse))
        living = Notifier(database, settings, dying.log)
        replies = [
            reply(f"{step}-{name}", customer=f"s{step}", seq=seq, provider=provider)
            for seq, (name, provider) in enumerate(
                [("a", "twilio-sms"), ("b", "webchat"), ("c", "twilio-sms")], start=1
            )
        ]
        try:
            await dying.accept(*replies)
        except crash.Crash:
            crashes += 1
        crashed = crashes == step
        fuse.at = None
        await living.accept(*replies)
        await living.heal()
        assert living.provider.asked == [f"{step}-a", f"{step}-c"]
        assert [living.published(f"{step}-{name}") for name in "abc"] == [[(1, "sent")]] * 3
        await dying.sending.client.aclose()
        await living.sending.client.aclose()
        if not crashed:
            break
    assert crashes == step - 1 > 4


async def test_workers_send_everything_and_stop_only_when_requests_are_done(notifier: Notifier) -> None:
    release, started = asyncio.Event(), asyncio.Event()

    async def slow(_means: object, _account: object, message: MessageSend, /) -> Sent:
        started.set()
        await release.wait()
        return accepts(message)

    notifier.sending.request = lambda _: slow
    running = asyncio.create_task(notifier.sending.run())
    await notifier.accept(
        *(reply(f"w{number}", customer=f"c{number % 3}", seq=number) for number in range(6))
    )
    async with asyncio.timeout(5):
        await started.wait()
        running.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    names = [f"w{number}" for number in range(6)]
    states = [(await notifier.stored(name))["state"] for name in names]
    assert states[0] == "finished"
    assert "claimed" not in states
    again = asyncio.create_task(notifier.sending.run())
    async with asyncio.timeout(5):
        while not all(map(notifier.published, names)):
            await asyncio.sleep(0.01)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_an_account_that_gets_too_much_rests_and_no_other(notifier: Notifier) -> None:
    busy, asked = True, notifier.provider.asked

    def answer(message: MessageSend) -> Sent | BaseException:
        too_much = busy and message.data.provider == "twilio-sms"
        return Retry(5, "429", whole_account=True) if too_much else accepts(message)

    def names_of_sms() -> list[str]:
        return [name for name in asked if name.startswith("s")]

    async def until_sent(*names: str) -> None:
        async with asyncio.timeout(10):
            while not all(map(notifier.published, names)):
                await asyncio.sleep(0.01)

    notifier.provider.answer = answer
    running = asyncio.create_task(notifier.sending.run())
    names = [f"s{each}" for each in range(20)]
    await notifier.accept(*(reply(name, customer=name) for name in names))
    async with asyncio.timeout(10):
        while not asked:
            await asyncio.sleep(0.01)
    await notifier.accept(reply("w1", customer="w", provider="whatsapp"))
    await until_sent("w1")
    busy = False
    notifier.later(4.9)
    await notifier.accept(reply("w2", customer="w", seq=2, provider="whatsapp"))
    await until_sent("w2")
    assert len(names_of_sms()) <= notifier.settings.sends_at_once
    notifier.later(0.2)
    await until_sent(*names)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def hurried(settings: NotifierSettings) -> NotifierSettings:
    return settings.model_copy(update={"send_timeout_seconds": 0.2, "files_timeout_seconds": 0.6})


@pytest.mark.parametrize(
    ("files_take", "answer_takes", "ends"),
    [(0.4, 0.0, [(1, "sent")]), (5.0, 0.0, []), (0.0, 5.0, [(1, "unknown")]), (0.3, 5.0, [(1, "unknown")])],
)
async def test_only_a_request_that_was_made_can_have_an_unknown_outcome(
    database: Database, settings: NotifierSettings, files_take: float, answer_takes: float, ends: list[object]
) -> None:
    async def sender(means: Means, _account: object, _message: object, /) -> Sent:
        if files_take:
            with means.preparing():
                await asyncio.sleep(files_take)
        await asyncio.sleep(answer_takes)
        return Sent("P-a")

    hasty = Notifier(database, hurried(settings))
    hasty.sending.request = lambda _: sender
    await hasty.accept(reply("a"))
    await hasty.send_all()
    assert hasty.published("a") == ends
    if not ends:
        files_take = 0.0
        hasty.later(2)
        await hasty.send_all()
        assert hasty.published("a") == [(1, "sent")]
    await hasty.sending.client.aclose()
