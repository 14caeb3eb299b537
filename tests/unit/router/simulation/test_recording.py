"""Recorded days: played again under the same policy they come out as they were; under another, otherwise."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from schemas.common import Channel, ChannelClass
from services.router.domain.engine import Input, Step, TakeOver
from services.router.domain.policy import Policy
from services.router.domain.pool import Pool
from services.router.journal import Entry, Given, encode
from services.router.owned import outgoing
from services.router.simulation import day as days
from services.router.simulation import journals
from services.router.simulation.day import Day
from services.router.simulation.measures import Measures
from services.router.simulation.recording import BadRecording, read, verify
from services.router.simulation.report.figures import figures
from services.router.simulation.stays import Script
from services.router.simulation.synthetic import script
from tests.unit.router.commands import (
    START,
    Desk,
    assign,
    available,
    profile,
    pull,
    release,
    request,
    widen,
)
from tests.unit.router.simulation.days import POLICY, scenario

Recorder = Callable[[Script, Policy], tuple[Measures, list[Entry]]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Play a day and keep the journal the router would have of it."""
    step = days.step

    def play(made: Script, policy: Policy) -> tuple[Measures, list[Entry]]:
        entries: list[Entry] = []

        def kept(pool: Pool, given: Input, now: datetime) -> Step:
            done = step(pool, given, now)
            entries.append(_entry(len(entries) + 1, now, [given], [done]))
            return done

        with monkeypatch.context() as patch:
            patch.setattr(days, "step", kept)
            return Day(made, policy).play(), entries

    return play


def _entry(n: int, at: datetime, inputs: list[Input], steps: list[Step]) -> Entry:
    given = tuple(Given(encode(each)) for each in inputs)
    return Entry("main", n, "one", at, given, outgoing(steps), published=True)


def of_desk(desk: Desk) -> list[Entry]:
    """Return the journal of what a test sent, beginning with the take-over."""
    again, entries = Pool(type(desk.pool.state)("main")), []
    taken: list[tuple[Input, datetime]] = [(TakeOver(POLICY), START), *desk.taken]
    for n, (given, at) in enumerate(taken, 1):
        entries.append(_entry(n, at, [given], [days.step(again, given, at)]))
    return entries


@pytest.mark.parametrize("seed", range(3))
def test_a_day_under_its_own_policy_comes_out_as_it_was(recorded: Recorder, seed: int) -> None:
    made = script(scenario(), seed)
    original, entries = recorded(made, POLICY)
    assert verify(entries) == (len(entries), [])
    recording = read(entries, end=made.end)
    assert recording.policy == POLICY
    again = Day(recording.script, recording.policy).play()
    assert {name: sorted(each.waits) for name, each in again.queues.items()} == {
        name: sorted(each.waits) for name, each in original.queues.items()
    }
    assert {name: sorted(each.left) for name, each in again.queues.items()} == {
        name: sorted(each.left) for name, each in original.queues.items()
    }
    assert again.handovers == original.handovers
    assert {name: each.grants for name, each in again.agents.items()} == {
        name: each.grants for name, each in original.agents.items()
    }


def test_half_a_day_begins_with_what_was_under_way(recorded: Recorder) -> None:
    made = script(scenario(), 1)
    original, entries = recorded(made, POLICY)
    half = made.start + timedelta(hours=1)
    recording = read(entries, start=half, end=made.end)
    assert recording.script.opening
    again = Day(recording.script, recording.policy).play()
    asked = len(recording.script.stays) + sum(each.agent is None for each in recording.script.opening)
    assert sum(each.asked for each in again.queues.values()) == asked
    served = sum(len(each.waits) for each in original.queues.values())
    early = sum(
        1 for entry in entries if entry.at < half for each in entry.outgoing if b"granted" in each.value
    )
    assert sum(len(each.waits) for each in again.queues.values()) == pytest.approx(served - early, abs=12)
    assert again.agents.keys() == original.agents.keys()


def test_another_policy_changes_who_gets_what_and_not_what_came(recorded: Recorder) -> None:
    made = script(scenario(), 2)
    _, entries = recorded(made, POLICY)
    recording = read(entries, end=made.end)
    other = Policy(ask_again_seconds=600, timeouts_until_away=1)
    first, second = (figures("p", Day(recording.script, each).play(), {}) for each in (POLICY, other))
    assert first.all.asked == second.all.asked == len(made.stays)
    assert first.handovers != second.handovers


def test_the_journal_of_a_desk_is_followed(recorded: Recorder) -> None:
    del recorded
    desk = Desk("ana", "ben")
    desk.send(request("c1"), request("c2"))
    desk.wait(100)
    desk.send(release("c1", 1))
    desk.wait(50)
    desk.send(request("c1", 2, requested_at=desk.now))
    desk.wait(30)
    desk.send(release("c1", 2), release("c2", 1))
    stays = read(of_desk(desk)).script.stays
    assert [(each.need.conversation_id, each.handling_seconds) for each in stays] == [
        ("c1", 100),
        ("c2", 180),
        ("c1", 30),
    ]


def test_a_transfer_by_hand_is_part_of_its_stay_and_a_take_of_nothing_a_request() -> None:
    desk = Desk("ana", "ben")
    desk.send(request("c1"))
    desk.wait(60)
    desk.send(assign("c1", 2, "ben"), assign("c2", 1, "ana", reason="take"))
    desk.wait(40)
    desk.send(release("c1", 2), release("c2", 1))
    recording = read(of_desk(desk))
    assert recording.by_hand == 2
    first, second = recording.script.stays
    assert (first.handling_seconds, second.handling_seconds) == (100, 40)
    assert second.need.preferred_agent == "ana"


def test_a_new_request_while_an_agent_has_it_follows_and_while_it_waits_changes_it() -> None:
    desk = Desk("ana", capacity={"messaging": 1})
    desk.send(request("c1"))
    desk.wait(60)
    desk.send(request("c1", 2, inbox="other", avoid_agent="ana"))
    desk.wait(10)
    desk.send(request("c1", 3, priority=2), widen("c1", 3, ChannelClass.EMAIL))
    desk.wait(30)
    desk.send(release("c1", 3))
    first, second = read(of_desk(desk)).script.stays
    assert (first.handling_seconds, first.follows) == (60, False)
    assert second.follows
    offset, change = second.changes[0]
    assert offset == 10
    assert getattr(change, "priority", None) == 2
    assert second.changes[1] == (10, ChannelClass.EMAIL)


def test_who_left_unserved_has_that_much_patience_and_the_usual_handling() -> None:
    desk = Desk("ana", capacity={"messaging": 1})
    desk.send(request("c1"), request("c2"))
    desk.wait(45)
    desk.send(release("c2", 1))
    desk.wait(45)
    desk.send(release("c1", 1))
    _, left = read(of_desk(desk)).script.stays
    assert (left.patience_seconds, left.handling_seconds) == (45, 90)


def test_what_agents_do_is_taken_over_as_it_was() -> None:
    desk = Desk("ana")
    desk.send(profile("ben", auto_accept={"messaging": False}), available("ben", Channel.SMS), pull("ben"))
    kinds = [each.command.type for each in read(of_desk(desk)).script.deeds]
    assert kinds == [
        "agent.profile",
        "agent.availability",
        "agent.profile",
        "agent.availability",
        "agent.next",
    ]


def test_verify_names_the_entries_that_decide_otherwise() -> None:
    desk = Desk("ana")
    desk.send(request("c1"), release("c1", 1))
    entries = of_desk(desk)
    wrong = entries[3]
    entries[3] = Entry(wrong.pool, wrong.n, wrong.owner, wrong.at, wrong.given, (), published=True)
    assert verify(entries) == (len(entries), [4])


def test_a_file_of_entries_is_read_as_it_was_written(tmp_path: Path) -> None:
    desk = Desk("ana")
    desk.send(request("c1"), release("c1", 1))
    entries, file = of_desk(desk), tmp_path / "day.jsonl"
    assert journals.write(file, entries) == len(entries)
    assert list(journals.read(file)) == entries


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: no entry of a journal"),
        ("[]", "line 2: no entry of a journal"),
        ('{"pool": "main", "owner": "o"}', "line 2: there is no 'at'"),
        ('{"at": "2026-03-01T00:00:00"}', "line 2: no entry of a journal: at: .* has no time zone"),
    ],
)
def test_a_broken_file_is_told_by_line(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "day.jsonl"
    journals.write(file, of_desk(Desk())[:1])
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(BadRecording, match=told):
        list(journals.read(file))


def test_gaps_other_pools_and_nothing_at_all_are_no_recording() -> None:
    entries = of_desk(Desk("ana"))
    with pytest.raises(BadRecording, match="entry 2 of the journal is missing: 3 comes instead"):
        read([entries[0], entries[2]])
    second = entries[1]
    other = Entry("far", second.n, second.owner, second.at, second.given, second.outgoing)
    with pytest.raises(BadRecording, match="entry 2 is of pool far"):
        read([entries[0], other])
    with pytest.raises(BadRecording, match="no entries"):
        read([])
    with pytest.raises(BadRecording, match="nothing happened"):
        read(entries, start=START + timedelta(days=1))
