"""The recorded day is complete, and its texts can be told apart."""

from collections import Counter
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from deploy.local.demo.day import FILE, Calls, Day, Forges, Repeats, Replies, Writes
from deploy.local.send import CALLS_PROVIDER, CHANNELS, CHAT_PROVIDER
from deploy.local.simulator.behaviour import Mode
from deploy.local.simulator.registry import STAND_INS, stand_in
from deploy.local.stack import HERE, Stack
from schemas.common import Channel


@pytest.fixture
def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def test_the_day_shows_every_channel_and_every_fate() -> None:
    day = Day.load()
    assert {event.by for event in day.events if isinstance(event, Writes)} == set(CHANNELS)
    assert {event.does for event in day.events} == {
        "writes", "sends", "reacts", "repeats", "forges", "breaks", "reports",
        "signs_on", "signs_off", "replies", "notes", "closes", "calls", "types", "reads",
    }  # fmt: skip
    assert len(day.events) >= 60


def provider_of(event: Writes | Forges) -> str:
    if event.by is Channel.CHAT:
        return CHAT_PROVIDER
    return stand_in(event.through or event.by).provider


def test_every_provider_brings_a_message_and_sends_a_reply() -> None:
    wrote: dict[str, str] = {}
    brought, sent = {CALLS_PROVIDER} if _somebody_calls() else set(), set()
    for event in Day.load().events:
        if isinstance(event, Writes):
            wrote[event.who] = provider_of(event)
            brought.add(wrote[event.who])
        elif isinstance(event, Replies) and not event.refused:
            sent.add(wrote[event.to])
    every = {row.provider for row in STAND_INS} | {CHAT_PROVIDER}
    assert brought == every | {CALLS_PROVIDER}
    assert sent == every


def _somebody_calls() -> bool:
    return any(isinstance(event, Calls) for event in Day.load().events)


def test_providers_and_others_fail_in_every_way_that_ends_within_seconds() -> None:
    events = Day.load().events
    replies = [event for event in events if isinstance(event, Replies)]
    longer = {Mode.HANG, Mode.GARBAGE, Mode.HUGE}
    assert {event.meets for event in replies} == set(Mode) - longer
    assert {event.refused for event in replies} == {"", "opted-out", "outside-window"}
    assert {event.ends for event in replies} >= {"failed", "unknown", "delivered", "read"}
    assert any(event.template for event in replies)
    pictures = {event.by for event in events if isinstance(event, Writes) and event.picture}
    assert pictures == {Channel.SMS, Channel.CHAT}
    forged = {provider_of(event) for event in events if isinstance(event, Forges)}
    assert {row.provider for row in STAND_INS if row.channel is Channel.EMAIL} < forged


def test_somebody_uses_two_channels_by_one_number() -> None:
    day = Day.load()
    used: dict[str, set[str]] = {}
    for event in day.events:
        if isinstance(event, Writes):
            used.setdefault(event.who, set()).add(event.by)
    both = [day.people[who] for who, channels in used.items() if {"sms", "whatsapp"} <= channels]
    assert both
    assert all(person.address(Channel.SMS) == person.address(Channel.WHATSAPP) for person in both)


def test_nobody_writes_the_same_text_twice() -> None:
    texts = Counter((event.who, event.text) for event in Day.load().events if isinstance(event, Writes))
    assert [text for text, count in texts.items() if count > 1] == []


def test_its_agents_are_those_of_the_local_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTS_FILE", str(HERE / "agents.yaml"))
    agents = Stack.from_environment().agents()
    assert {event.agent for event in Day.load().events if hasattr(event, "agent")} <= set(agents)


def test_events_of_one_time_happen_at_once() -> None:
    day = Day.load()
    assert sum(len(moment) for moment in day.moments) == len(day.events)
    assert max(len(moment) for moment in day.moments) > 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"at": "09:00", "does": "repeats", "of": "never-sent"}, "was not sent yet"),
        ({"at": "09:00", "does": "replies", "to": "nobody", "text": "Hello"}, "nobody is called"),
        (
            {"at": "09:00", "does": "writes", "id": "x", "who": "pia", "by": "sms", "text": "Hi"},
            "has no address",
        ),
        ({"at": "00:01", "does": "signs_on", "agent": "ana"}, "not in the order of time"),
    ],
)
def test_a_day_that_does_not_hang_together_is_refused(
    raw: dict[str, Any], change: dict[str, Any], problem: str
) -> None:
    events = [raw["events"][0], change]
    with pytest.raises(ValidationError, match=problem):
        Day.model_validate({"people": raw["people"], "events": events})


def test_every_repeat_and_reply_has_somebody_behind_it() -> None:
    day = Day.load()
    assert sum(isinstance(event, Repeats) for event in day.events) >= 5
    assert {event.to for event in day.events if isinstance(event, Replies)} >= {"maya", "pia", "ivy", "lin"}
