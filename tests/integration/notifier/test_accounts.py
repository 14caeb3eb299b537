"""An account that its provider refuses pauses; accounts come, go and change while messages are under way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier import metrics
from services.notifier.accounts_api import shown
from services.notifier.channels import Refused, Retry, Sent, whatsapp
from tests.integration.notifier.conftest import ACCOUNTS, Notifier, accepts
from tests.unit.notifier.builders import reply

SMS, WHATSAPP = ACCOUNTS[:2]
BROKEN = Refused("20003", "our account does not work", "account_broken")


@asynccontextmanager
async def at_work(notifier: Notifier) -> AsyncIterator[None]:
    running = asyncio.create_task(notifier.sending.run())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def looked(notifier: Notifier) -> None:
    """Return once the workers have had several looks at what is due."""
    await asyncio.sleep(notifier.settings.send_poll_seconds * 5)


def paused(account: str = "demo") -> float:
    return metrics.ACCOUNT_PAUSED.labels("twilio-sms", account)._value.get()  # noqa: SLF001  (no other reading)


def rotated(account: Account) -> Account:
    return account.model_copy(update={"secrets": {"auth_token": "new"}})


def in_order(asked: list[str], names: list[str]) -> bool:
    """Tell whether messages reached the provider for good in this order."""
    places = [len(asked) - 1 - asked[::-1].index(name) for name in names]
    return places == sorted(places)


async def test_messages_of_an_account_that_is_refused_wait_and_are_sent_once_in_order_when_it_works(
    notifier: Notifier,
) -> None:
    works, asked, taken = False, notifier.provider.asked, []

    def answer(message: MessageSend) -> Sent | BaseException:
        if message.data.provider == "twilio-sms" and not works:
            return BROKEN
        taken.append(message.personal.text)
        return accepts(message)

    notifier.provider.answer = answer
    names = [f"s{number}" for number in range(12)]
    await notifier.accept(
        *(reply(name, customer=f"c{number % 3}", seq=number) for number, name in enumerate(names))
    )
    async with at_work(notifier):
        await until(paused)
        await notifier.accept(reply("w", customer="w", provider="whatsapp"))
        await until(lambda: notifier.published("w"))
        await looked(notifier)
        before = len(asked)
        assert before <= 4
        for probes, seconds in enumerate((5.1, 10.1, 20.1), start=1):
            notifier.later(seconds)
            await until(lambda probes=probes: len(asked) == before + probes)
            await looked(notifier)
            assert len(asked) == before + probes
        assert not any(map(notifier.published, names))
        troubled = notifier.sending.standings.values()[0]
        view = shown(troubled, notifier.now)
        assert (view.state, view.code, view.account) == ("paused", "20003", "demo")
        works = True
        notifier.later(40.1)
        await until(lambda: all(map(notifier.published, names)))
    assert paused() == 0
    assert sorted(taken) == sorted([*names, "w"])
    assert [notifier.published(name) for name in names] == [[(1, "sent")]] * 12
    for customer in range(3):
        assert in_order(taken, names[customer::3])
    assert shown(troubled, notifier.now).state == "ok"


async def test_a_changed_account_is_tried_at_once(notifier: Notifier) -> None:
    async def provider(_means: object, account: Account, message: MessageSend, /) -> Sent:
        if account.secrets.get("auth_token") != "new":
            raise BROKEN
        return accepts(message)

    notifier.sending.request = lambda _: provider
    await notifier.accept(*(reply(f"s{number}", customer=f"c{number}") for number in range(4)))
    async with at_work(notifier):
        await until(paused)
        notifier.sending.learn([rotated(SMS), WHATSAPP])
        await until(lambda: all(notifier.published(f"s{number}") for number in range(4)))
    assert paused() == 0


async def test_what_waits_for_a_paused_account_fails_at_the_limit_with_the_providers_code(
    notifier: Notifier,
) -> None:
    notifier.provider.answer = lambda _: BROKEN
    await notifier.accept(reply("a1"), reply("a2", seq=2))
    async with at_work(notifier):
        await until(paused)
    day = timedelta(days=1)
    await notifier.sends.abandon(day)
    assert notifier.published("a1") == notifier.published("a2") == []
    notifier.later(day.total_seconds() + 1)
    await notifier.accept(reply("a3", seq=3))
    await notifier.sends.abandon(day)
    assert [notifier.published(name) for name in ("a1", "a2", "a3")] == [[(1, "failed")], [(1, "failed")], []]
    assert (await notifier.stored("a2"))["error_code"] == "20003"
    assert (await notifier.stored("a3"))["attempts"] == 0


async def test_a_probe_past_the_limit_fails_its_message(notifier: Notifier) -> None:
    notifier.provider.answer = lambda _: BROKEN
    await notifier.accept(reply("a1"))
    async with at_work(notifier):
        await until(paused)
        await looked(notifier)
        assert (await notifier.stored("a1"))["attempts"] == 0
        notifier.later(86_401)
        await until(lambda: notifier.published("a1"))
    assert notifier.published("a1") == [(1, "failed")]
    assert notifier.provider.asked == ["a1", "a1"]


async def test_one_message_that_is_refused_as_if_the_account_were_does_not_stop_the_others(
    notifier: Notifier,
) -> None:
    notifier.provider.answer = lambda message: BROKEN if message.personal.text == "bad" else accepts(message)
    await notifier.accept(reply("bad", customer="bad"))
    async with at_work(notifier):
        await until(paused)
        for number in range(8):
            await notifier.accept(reply(f"good{number}", customer=f"g{number}"))
            for _ in range(3):
                notifier.later(21)
                await looked(notifier)
        await until(lambda: notifier.published("bad") and notifier.published("good7"))
    assert notifier.published("bad") == [(1, "failed")]
    assert all(notifier.published(f"good{number}") == [(1, "sent")] for number in range(8))
    assert notifier.provider.asked.count("bad") <= 8
    assert paused() == 0


async def test_what_we_refuse_ourselves_does_not_show_that_the_account_works(notifier: Notifier) -> None:
    async def forbids(_: Account, message: MessageSend) -> Refused | None:
        return Refused("consent", "opted out", "opted_out") if message.personal.text == "no" else None

    notifier.sending.forbids = forbids
    notifier.provider.answer = lambda _: BROKEN
    await notifier.accept(reply("a"))
    async with at_work(notifier):
        await until(paused)
        await notifier.accept(reply("no", customer="c2"))
        await looked(notifier)
        for _ in range(4):
            notifier.later(6)
            await looked(notifier)
        await until(lambda: notifier.published("no"))
    assert (notifier.published("no"), notifier.published("a"), paused()) == ([(1, "failed")], [], 1)


async def test_accounts_come_and_go_without_touching_requests_under_way(notifier: Notifier) -> None:
    started, release = asyncio.Event(), asyncio.Event()
    used: list[tuple[str, str]] = []

    async def provider(_means: object, account: Account, message: MessageSend, /) -> Sent:
        used.append((message.personal.text, account.secrets.get("auth_token", "")))
        if message.personal.text.startswith("slow"):
            started.set()
            await release.wait()
        return accepts(message)

    notifier.sending.request = lambda _: provider
    notifier.sends.known_account = lambda _provider, _account: True
    second = SMS.model_copy(update={"account": "second", "address": "ours-second"})
    await notifier.accept(reply("slow1"), reply("slow2", customer="c2", provider="whatsapp"))
    async with at_work(notifier):
        await until(started.is_set)
        await until(lambda: len(used) == 2)
        notifier.sending.learn([rotated(WHATSAPP), second])
        await notifier.accept(
            reply("gone", customer="c3"),
            reply("new", customer="c4", account="second"),
            reply("next", customer="c5", provider="whatsapp"),
        )
        await until(lambda: notifier.published("new") and notifier.published("next"))
        release.set()
        await until(lambda: notifier.published("slow1") and notifier.published("slow2"))
        assert notifier.published("gone") == []
        notifier.sending.learn(ACCOUNTS)
        await until(lambda: notifier.published("gone"))
    assert sorted(used) == [("gone", ""), ("new", ""), ("next", "new"), ("slow1", ""), ("slow2", "")]


async def test_a_claim_whose_account_is_taken_away_is_put_back(notifier: Notifier) -> None:
    await notifier.accept(reply("a"))
    claimed = await notifier.claim()
    assert claimed is not None
    notifier.sending.learn([WHATSAPP])
    await notifier.sending.send(claimed)
    assert (notifier.provider.asked, (await notifier.stored("a"))["state"]) == ([], "waiting")
    notifier.sending.learn(ACCOUNTS)
    notifier.later(2)
    await notifier.send_all()
    assert notifier.published("a") == [(1, "sent")]


async def test_a_resting_account_is_shown_as_such_and_keeps_resting_when_it_is_changed(
    notifier: Notifier,
) -> None:
    notifier.provider.answer = lambda _: Retry(7, "429", whole_account=True)
    await notifier.accept(reply("a"))
    await notifier.send_all()
    notifier.sending.learn([rotated(SMS), WHATSAPP])
    (first, second) = notifier.sending.standings.values()
    assert [shown(each, notifier.now).state for each in (first, second)] == ["resting", "ok"]
    notifier.later(7.1)
    assert shown(first, notifier.now).state == "ok"


async def test_a_message_of_which_a_part_was_taken_never_waits_for_a_broken_account(
    notifier: Notifier,
) -> None:
    asked: list[bytes] = []

    def graph(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        if len(asked) % 2:
            return httpx.Response(200, json={"messages": [{"id": f"wamid.{len(asked)}"}]})
        return httpx.Response(401, json={"error": {"code": 190}})

    notifier.sending.client = httpx.AsyncClient(transport=httpx.MockTransport(graph))
    notifier.sending.request = lambda _: whatsapp.send
    notifier.sending.learn([WHATSAPP.model_copy(update={"secrets": {"access_token": "t"}})])
    long = reply("long", provider="whatsapp", to="15551230001")
    text = long.personal.model_copy(update={"text": "word " * 1000})
    await notifier.accept(long.model_copy(update={"personal": text}))
    await notifier.send_all("whatsapp/demo")
    notifier.later(3600)
    await notifier.send_all("whatsapp/demo")
    assert (len(asked), notifier.published("long")) == (2, [(1, "failed")])
    stored = await notifier.stored("long")
    assert (stored["error_code"], stored["error_detail"][:24]) == ("190", "1 of 2 parts were sent; ")
    assert notifier.sending.standings.broken("whatsapp/demo") == "190"
