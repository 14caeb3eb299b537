"""Whoever opted out before a provider was asked is not written to, and the status says why."""

import json

import pytest
from pymongo.errors import ConnectionFailure

from schemas import ids
from schemas.common import Channel, DeliveryStatus, Identifier, IdentifierKind, TemplateUse
from schemas.conversations import ConsentChanged, ConsentData, ConsentPersonal
from schemas.outbound import MessageSend, MessageStatus
from services.chassis.accounts import Account
from services.chassis.mongo import Database
from services.chassis.templates import Template
from services.notifier.channels import Refused
from services.notifier.channels.registry import kind_of
from services.notifier.consents import Consents
from tests.integration.notifier.conftest import Notifier
from tests.unit.notifier.builders import at, batch, receipt, reply

ACCOUNT = Account(
    provider="whatsapp",
    account="demo",
    channel=Channel.WHATSAPP,
    address="1",
    inbox="support",
    templates=(
        Template(name="offer", language="en", text="Buy!"),
        Template(name="update", language="en", text="On its way.", category="utility"),
    ),
)


def changed(
    seconds: float, *, opted_out: bool = True, to: str = "+15551230001", account: str = "demo", **data: str
) -> ConsentChanged:
    return ConsentChanged(
        id=ids.derive("consent", seconds, opted_out, to, account),
        occurred_at=at(seconds),
        correlation=ids.derive("x"),
        customer_id="c1",
        home="c1",
        seq=1,
        data=ConsentData.model_validate(
            {
                "inbox": "support",
                "provider": "twilio-sms",
                "account": account,
                "channel": "sms",
                "opted_out": opted_out,
                "source": "customer",
                "changed_at": at(seconds),
                **data,
            }
        ),
        personal=ConsentPersonal(address=Identifier(kind=IdentifierKind.PHONE, value=to)),
    )


@pytest.fixture
def consents(notifier: Notifier, database: Database) -> Consents:
    made = Consents(database)
    notifier.sending.forbids = made.forbids
    return made


async def learn(consents: Consents, *events: ConsentChanged) -> None:
    assert await consents.learn(batch("conversations.events", *events)) == ["handled"] * len(events)


def told(notifier: Notifier) -> list[tuple[str, str | None, str | None]]:
    records = [MessageStatus.model_validate(json.loads(record.value)) for record in notifier.log.records]
    return [(record.data.status, record.data.error_code, record.data.error_kind) for record in records]


async def test_a_stop_between_publishing_and_sending_is_kept(notifier: Notifier, consents: Consents) -> None:
    await notifier.accept(reply("a"))
    await learn(consents, changed(1))
    await notifier.send_all()
    assert notifier.provider.asked == []
    assert told(notifier) == [("failed", "opted_out", "opted_out")]


async def test_after_a_start_messages_go_out_again(notifier: Notifier, consents: Consents) -> None:
    await learn(consents, changed(1))
    await learn(consents, changed(2, opted_out=False))
    await learn(consents, changed(1))
    await notifier.accept(reply("a"))
    await notifier.send_all()
    assert notifier.provider.asked == ["a"]


@pytest.mark.parametrize("first", [True, False])
async def test_of_two_words_at_once_the_one_that_opts_out_counts(
    notifier: Notifier, consents: Consents, *, first: bool
) -> None:
    await learn(consents, changed(1, opted_out=first))
    await learn(consents, changed(1, opted_out=not first))
    await notifier.accept(reply("a"))
    await notifier.send_all()
    assert notifier.provider.asked == []


async def test_in_one_batch_the_latest_counts(notifier: Notifier, consents: Consents) -> None:
    await learn(consents, changed(3, opted_out=False), changed(2), changed(1, opted_out=False))
    await notifier.accept(reply("a"))
    await notifier.send_all()
    assert notifier.provider.asked == ["a"]


@pytest.mark.parametrize(("known", "goes"), [(0, False), (1, False), (2, True)])
async def test_a_start_that_conversation_knew_and_notifier_does_not_yet_counts(
    notifier: Notifier, consents: Consents, known: float, *, goes: bool
) -> None:
    await learn(consents, changed(1))
    message = reply("a")
    data = message.data.model_copy(update={"consent_at": at(known)})
    await notifier.accept(message.model_copy(update={"data": data}))
    await notifier.send_all()
    assert (notifier.provider.asked == ["a"]) is goes


async def test_another_number_or_account_is_not_meant(notifier: Notifier, consents: Consents) -> None:
    await learn(consents, changed(1, to="+15551230002"), changed(1, account="other"))
    await notifier.accept(reply("a"))
    await notifier.send_all()
    assert notifier.provider.asked == ["a"]


def to_whatsapp(template: str | None) -> MessageSend:
    use = TemplateUse(name=template, language="en") if template else None
    made = reply("a", provider="whatsapp", to="15551230001")
    return made.model_copy(update={"personal": made.personal.model_copy(update={"template": use})})


@pytest.mark.parametrize(
    ("template", "goes"), [(None, True), ("update", True), ("offer", False), ("gone since", False)]
)
async def test_who_stopped_marketing_gets_the_rest(
    consents: Consents, template: str | None, *, goes: bool
) -> None:
    await learn(consents, changed(1, to="15551230001", provider="whatsapp", scope="marketing"))
    assert (await consents.forbids(ACCOUNT, to_whatsapp(template)) is None) is goes


async def test_while_nobody_knows_it_waits(notifier: Notifier) -> None:
    async def away(_account: Account, _message: MessageSend, /) -> Refused | None:
        raise ConnectionFailure

    notifier.sending.forbids = away
    await notifier.accept(reply("a"))
    await notifier.send_all()
    assert notifier.provider.asked == []
    assert (await notifier.stored("a"))["state"] == "waiting"
    assert told(notifier) == []


async def test_a_provider_s_refusal_is_told_with_its_kind(notifier: Notifier) -> None:
    notifier.provider.answer = lambda _: Refused("21610", "opted out", "opted_out")
    await notifier.accept(reply("a"))
    await notifier.send_all()
    assert told(notifier) == [("failed", "21610", "opted_out")]


async def test_so_is_one_that_a_receipt_brings(notifier: Notifier) -> None:
    notifier.sends.kind_of = kind_of
    await notifier.accept(reply("a"))
    await notifier.send_all()
    await notifier.receive(receipt("P-a", DeliveryStatus.FAILED, name="a", error_code="30003"))
    assert told(notifier) == [("sent", None, None), ("failed", "30003", "invalid_recipient")]
