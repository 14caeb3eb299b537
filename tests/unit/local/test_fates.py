"""The demo's verdict: what is lost, doubled or wrongly taken is seen."""

from datetime import time
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from deploy.local.demo import report
from deploy.local.demo.day import (
    Breaks,
    Forges,
    Reacts,
    Reads,
    Repeats,
    Replies,
    Reports,
    Types,
    WebhookEvent,
    Writes,
)
from deploy.local.demo.fates import Became, Delivery, Fate, Outcome, judge
from deploy.local.demo.played import Posted, Replied
from deploy.local.simulator.behaviour import Mode
from deploy.local.webhooks import Webhook
from schemas.common import Channel

AT = time(9)
WRITES = Writes(at=AT, does="writes", id="m", who="maya", by=Channel.SMS, text="Hello")
SHOWS = Writes(at=AT, does="writes", id="p", who="maya", by=Channel.SMS, text="Hello", picture=True)
TYPES = Types(at=AT, does="types", who="ivy")
READS = Reads(at=AT, does="reads", who="ivy")
REPEATS = Repeats(at=AT, does="repeats", of="m")
REACTS = Reacts(at=AT, does="reacts", id="r", who="maya", emoji="👍")
FORGES = Forges(at=AT, does="forges", who="maya", by=Channel.SMS, text="Hello")
BREAKS = Breaks(at=AT, does="breaks", by=Channel.WHATSAPP, body="{")
REPORTS = Reports(at=AT, does="reports", by=Channel.SMS, who="maya", status="delivered")


def posted(
    event: WebhookEvent, status: int = 200, shows: str = "Hello", *, quarantined: bool = False
) -> Posted:
    webhook = Webhook("/ingest/v1/twilio-sms/demo", {}, b"")
    return Posted(event, webhook, Channel.SMS, "maya", shows, status, quarantined)


def item(text: str, direction: str = "inbound", channel: str = "sms") -> dict[str, Any]:
    return {"id": "1", "direction": direction, "channel": channel, "text": text}


ONCE, TWICE = [item("Hello")], [item("Hello"), item("Hello")]
OTHERS = [item("Hello", "outbound"), item("Hello", channel="whatsapp"), item("Hello?")]


@pytest.mark.parametrize(
    ("event", "status", "timeline", "became"),
    [
        (WRITES, 200, ONCE, Became.MESSAGE),
        (WRITES, 200, [], Became.LOST),
        (WRITES, 200, OTHERS, Became.LOST),
        (WRITES, 200, TWICE, Became.DOUBLED),
        (WRITES, 403, ONCE, Became.WRONG),
        (WRITES, 503, ONCE, Became.WRONG),
        (REPEATS, 200, ONCE, Became.DUPLICATE),
        (REPEATS, 200, TWICE, Became.DOUBLED),
        (FORGES, 403, [], Became.REFUSED),
        (FORGES, 401, [], Became.REFUSED),
        (FORGES, 406, [], Became.REFUSED),
        (TYPES, 204, [], Became.SIGNAL),
        (READS, 204, [], Became.RECEIPT),
        (READS, 401, [], Became.WRONG),
        (SHOWS, 200, [{**item("Hello"), "attachments": [{"status": "stored"}]}], Became.MESSAGE),
        (SHOWS, 200, [{**item("Hello"), "attachments": [{"status": "refused"}]}], Became.LOST),
        (SHOWS, 200, [{**item("Hello"), "attachments": []}], Became.LOST),
        (FORGES, 200, [], Became.WRONG),
        (FORGES, 500, [], Became.WRONG),
        (REPORTS, 200, [], Became.RECEIPT),
    ],
)
def test_each_webhook_is_judged_by_its_answer_and_the_timeline(
    event: WebhookEvent, status: int, timeline: list[dict[str, Any]], became: Became
) -> None:
    assert judge(posted(event, status), timeline)[0] is became


def test_a_reaction_is_found_by_its_emoji() -> None:
    found, message = judge(posted(REACTS, shows="👍"), [item("[reaction] 👍")])
    assert (found, message) == (Became.MESSAGE, item("[reaction] 👍"))


def test_a_broken_body_must_be_seen_in_quarantine() -> None:
    assert judge(posted(BREAKS, quarantined=True), [])[0] is Became.QUARANTINED
    assert judge(posted(BREAKS), [])[0] is Became.LOST


@pytest.mark.parametrize(
    ("became", "status", "good"),
    [
        (Became.MESSAGE, "delivered", True),
        (Became.LOST, "delivered", False),
        (Became.DOUBLED, "delivered", False),
        (Became.WRONG, "delivered", False),
        (Became.MESSAGE, "queued", False),
        (Became.MESSAGE, "unknown", False),
    ],
)
def test_the_day_is_good_only_when_all_is(became: Became, status: str, good: bool) -> None:  # noqa: FBT001 - a table
    reply = Replied(Replies(at=AT, does="replies", to="maya", text="Hi"), "ana", "twilio-sms", "1")
    outcome = Outcome([Fate(posted(WRITES), became)], [Delivery(reply, {"status": status})])
    assert outcome.good is good


def delivery(status: str = "", problem: str = "", offers: tuple[str, ...] = (), **event: Any) -> Delivery:
    replies = Replies(at=AT, does="replies", to="maya", text="Hi", **event)
    replied = Replied(replies, "ana", "twilio-sms", "1" if status else "", problem, offers)
    return Delivery(replied, {"status": status, "text": "Hi", "error_code": None} if status else None)


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (delivery("failed", ends="failed"), True),
        (delivery("delivered", ends="failed"), False),
        (delivery("unknown", ends="unknown"), True),
        (delivery(problem="opted-out", refused="opted-out"), True),
        (delivery("sent", refused="opted-out"), False),
        (delivery(problem="outside-window", refused="opted-out"), False),
        (delivery(problem="outside-window", offers=("news",), refused="outside-window"), True),
        (delivery(problem="outside-window", refused="outside-window"), False),
    ],
)
def test_a_reply_must_end_as_the_day_says(found: Delivery, good: bool) -> None:  # noqa: FBT001 - a table
    assert found.as_it_should is good


def test_a_providers_row_says_what_went_wrong_and_how_it_ended() -> None:
    fates = [
        Fate(posted(WRITES), Became.MESSAGE),
        Fate(posted(REPEATS), Became.DUPLICATE),
        Fate(posted(FORGES, 403), Became.REFUSED),
        Fate(posted(REACTS, shows="👍"), Became.LOST),
    ]
    deliveries = [delivery("delivered", meets=Mode.SLOW), delivery(problem="opted-out", refused="opted-out")]
    printed = StringIO()
    report.show(Outcome(fates, deliveries), Console(width=200, file=printed))
    shown = printed.getvalue()
    for words in (
        "twilio-sms", "1 delivered", "1 delivered twice, shown once", "1 forged, refused", "1 LOST",
        "a slow provider: delivered", "a reply after STOP: not sent", "Something is not where it belongs.",
    ):  # fmt: skip
        assert words in shown
