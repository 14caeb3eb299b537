"""A dry run does what the rules would have done, told by the timeline alone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from schemas.common import Channel
from services.conversation.domain import decisions, lifecycle
from services.conversation.domain.draft import Draft, RowPatch, TimelineRow
from services.conversation.domain.model import Thread
from services.conversation.domain.ruling.definition import NONE, Rules
from services.conversation.domain.ruling.replay import Firing, replay
from services.conversation.dry_run import SHOWN, dry_run
from tests.unit.conversation.builders import INBOXES, at, empty, grant, message
from tests.unit.conversation.ruled import done, heard, rules, ticked
from tests.unit.conversation.test_calling import word

Step = Callable[[Thread, Rules], Draft]


def says(key: object, text: str, seconds: float, **more: Any) -> Step:
    return lambda thread, given: heard(thread, message(key, text, seconds=seconds, **more), given)


def does(seconds: float, apply: Callable[[Draft], object]) -> Step:
    return lambda thread, given: done(thread, seconds, given, apply)


def waits(seconds: float) -> Step:
    return lambda thread, given: ticked(thread, seconds, given)


STORY: list[Step] = [
    says(1, "my parcel is broken", 0),
    does(10, lambda draft: decisions.apply(draft, grant(draft.thread))),
    says(2, "the invoice is wrong too", 60, channel=Channel.EMAIL),
    says(3, "thanks!", 70),
    does(100, lambda draft: lifecycle.set_topics(draft, (*draft.conversation.topics, "billing/invoice"))),
    waits(121),
    does(200, lambda draft: lifecycle.transfer_to_inbox(draft, INBOXES["vip"], by="ana")),
    does(300, lifecycle.no_reply_needed),
    waits(4000),
    says(4, "still broken", 4100),
    does(4200, lambda draft: lifecycle.close(draft, confirmed=None)),
    says(5, "it broke again, is broken", 5000),
    does(5100, lambda draft: lifecycle.close(draft, confirmed=True)),
]


def lived(steps: list[Step], given: Rules) -> tuple[Thread, list[TimelineRow], list[tuple[str, str]]]:
    """Return what became of the thread, its timeline, and which rules really fired at which event."""
    thread, rows, fired = empty(), [], []
    for step in steps:
        change = step(thread, given)
        thread = change.thread
        rows += [each for each in change.caused if isinstance(each, TimelineRow)]
        fired += [
            (each.data.rule, each.data.event)
            for each in change.caused
            if getattr(each, "type", "") == "rule.fired"
        ]
    return thread, sorted(rows, key=lambda row: (row.received_at, row.seq)), fired


def played(thread: Thread, rows: list[TimelineRow], given: Rules, until: float = 9000) -> list[Firing]:
    assert thread.current is not None
    return [firing for step in replay(thread.current, rows, given, at(until)) for firing in step]


WATCHING = rules(
    "[{name: broken, when: message, every: true, if: {text: broken}, then: {note: x}},"
    " {name: first, when: opened, if: {first_message: true, channel: sms}, then: {note: x}},"
    " {name: mail, when: message, if: {channel: email, status: open}, then: {note: x}},"
    " {name: each, when: message, every: true, then: {topic: seen}},"
    " {name: bills, when: topics, if: {topic: billing}, then: {note: x}},"
    " {name: mine, when: assigned, if: {inbox: support}, then: {note: x}},"
    " {name: moved, when: transferred, if: {inbox: vip, transfers: 1}, then: {note: x}},"
    " {name: rests, when: [waiting, closed, reopened], every: true, then: {priority: 1}},"
    " {name: silent, when: age, after: 1h, since: status, if: {status: waiting, topic: seen},"
    " then: {note: x}},"
    " {name: old, when: age, after: 2m, then: {note: x}}]"
)


def test_what_a_dry_run_tells_is_what_the_same_rules_do() -> None:
    thread, rows, really = lived([*STORY, waits(5121)], WATCHING)
    told = [(firing.rule.name, str(firing.event)) for firing in played(thread, rows, WATCHING)]
    assert sorted(told) == sorted(really)
    assert len(told) > 15


def test_it_needs_nothing_that_rules_left_behind() -> None:
    thread, rows, really = lived(STORY, NONE)
    assert really == []
    firings = played(thread, rows, WATCHING)
    of_broken = [firing for firing in firings if firing.rule.name == "broken"]
    assert [firing.at for firing in of_broken] == [at(0), at(4100), at(5000)]
    (silent,) = [firing for firing in firings if firing.rule.name == "silent"]
    assert silent.at == at(3900)
    assert [firing.at for firing in firings if firing.rule.name == "old"] == [at(120)]


def test_actions_are_shown_as_the_file_has_them_and_a_text_once() -> None:
    given = rules("[{name: r, when: message, every: true, then: {reply: soon, topic: a, priority: 0}}]")
    thread, rows, _ = lived(STORY[:3], NONE)
    first, second = played(thread, rows, given)
    assert first.actions == {"topic": ["a"], "priority": 0, "reply": "soon"}
    assert second.actions == {"topic": ["a"], "priority": 0}


def test_time_does_not_count_beyond_the_end_of_the_run() -> None:
    given = rules("[{name: old, when: age, after: 1h, then: {note: x}}]")
    thread, rows, _ = lived(STORY[:1], NONE)
    assert played(thread, rows, given, until=3600) == []
    assert [firing.at for firing in played(thread, rows, given, until=3601)] == [at(3600)]


def test_calls_of_the_past_are_heard() -> None:
    given = rules("[{name: r, when: call, if: {channel: voice}, then: {note: x}}]")
    thread, rows, _ = lived([lambda thread, given: heard(thread, word("start"), given)], NONE)
    assert [firing.at for firing in played(thread, rows, given)] == [at(0)]
    assert not any(isinstance(row, RowPatch) for row in rows)


class History:
    """Some Conversations, each with the same timeline."""

    def __init__(self, count: int) -> None:
        self.thread, self.rows, _ = lived(STORY, NONE)
        self.count = count

    async def opened(self, _since: Any, _until: Any, limit: int) -> Any:
        for _ in range(min(self.count, limit)):
            yield self.thread.current

    async def told_of(self, _conversation: Any, _until: Any, limit: int) -> list[TimelineRow]:
        return self.rows[:limit]


async def tried(history: History, given: Rules, *, limit: int = 100, seconds: float = 60) -> dict[str, Any]:
    return await dry_run(history, given, at(0), at(0) + timedelta(days=1), limit, seconds)


async def test_a_dry_run_counts_all_and_shows_some() -> None:
    answer = await tried(History(30), WATCHING)
    assert (answer["conversations"], answer["cut"]) == (30, [])
    by_name = {each["name"]: each for each in answer["rules"]}
    broken = by_name["broken"]
    assert (broken["fired"], broken["conversations"], broken["more"]) == (90, 30, True)
    assert len(broken["items"]) == SHOWN
    item = by_name["first"]["items"][0]
    assert item["event"] == "opened"
    assert item["actions"] == {"note": "x"}
    assert item["at"] == "2026-01-05T09:00:00.000Z"


async def test_a_dry_run_says_when_it_was_cut() -> None:
    assert (await tried(History(5), WATCHING, limit=4))["cut"] == ["limit"]
    assert (await tried(History(4), WATCHING, limit=4))["cut"] == []
    cut = await tried(History(5), WATCHING, seconds=0)
    assert (cut["cut"], cut["conversations"]) == (["time"], 0)
    assert all(each["fired"] == 0 for each in cut["rules"])


async def test_rules_that_are_switched_off_are_shown_as_such() -> None:
    given = rules("[{name: r, enabled: false, when: message, then: {note: x}}]")
    (rule,) = (await tried(History(1), given))["rules"]
    assert (rule["name"], rule["fired"]) == ("r", 0)
