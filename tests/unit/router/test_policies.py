"""The file of policies: what it makes of itself, what it refuses and where, and how a change gets in."""

from pathlib import Path

import pytest

from schemas.common import ChannelClass
from services.chassis.inboxes import Inbox, load_inboxes
from services.router.domain.engine import NewPolicy, TakeOver
from services.router.domain.policy import InboxPolicy, Policy, Relaxation, from_document
from services.router.journal import decode, encode
from services.router.policies import BadPolicy, Policies, load, parse

INBOXES = {
    "support": Inbox(name="support", fallback="last"),
    "sales": Inbox(name="sales"),
    "last": Inbox(name="last"),
    "far": Inbox(name="far", pool="other"),
}
EVERYTHING = b"""
skills: [billing, french]
defaults:
  choice: longest_idle
  targets: {voice: 20, email: 14400}
  heartbeat_seconds: 12
pools:
  main:
    ask_again_seconds: 90
    targets: {messaging: 60}
    wrap_up_seconds: 15
inboxes:
  support:
    choice: most_proficient
    ageing: {every: 30, limit: 4}
    starving_seconds: 3600
    preferred_grace_seconds: 0
    offer_seconds: {voice: 20}
    relaxation:
      - {after: 60, skills: {billing: -1}}
      - {after: 90.5, drop: [french], inboxes: [sales], priority: 2}
      - {after: 120, lower: 1}
  sales:
    fallback: last
"""
LOCAL = Path(__file__).parents[3] / "deploy"


def policy(content: bytes = EVERYTHING, pool: str = "main") -> Policy:
    return parse("routing.yaml", content, INBOXES, Policy())[pool]


def test_an_inbox_says_more_than_its_pool_and_the_pool_more_than_the_defaults() -> None:
    own = policy()
    assert (own.ask_again_seconds, own.heartbeat_seconds, own.timeouts_until_away) == (90, 12, 2)
    support, sales = own.of("support"), own.of("sales")
    assert (support.choice, sales.choice) == ("most_proficient", "longest_idle")
    assert sales.targets == {ChannelClass.VOICE: 20, ChannelClass.EMAIL: 14400, ChannelClass.MESSAGING: 60}
    assert (support.ageing_seconds, support.ageing_limit, support.starving_seconds) == (30, 4, 3600)
    assert (support.preferred_grace_seconds, support.rings(ChannelClass.VOICE)) == (0, 20)
    assert support.wrap_up_seconds == sales.wrap_up_seconds == 15
    assert support.relaxation == (
        Relaxation(60, skills={"billing": -1}),
        Relaxation(90.5, drop=("french",), inboxes=("sales",), priority=2),
        Relaxation(120, lower=1),
    )
    assert policy(pool="other").of("far").choice == "longest_idle"
    assert policy(pool="other").ask_again_seconds == 60


def test_the_fallback_is_the_inboxes_own_unless_the_policy_names_another() -> None:
    assert policy(b"").of("support").fallback == "last"
    assert policy(b"inboxes: {support: {fallback: sales}}").of("support").fallback == "sales"
    assert policy().is_fallback("last")
    assert not policy().is_fallback("sales")


def test_who_is_asked_at_most_45_seconds_unless_something_else_is_said() -> None:
    assert policy(b"").of("support").rings(ChannelClass.VOICE) == 45


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("inboxes:\n  nowhere: {}", 2, "inboxes.nowhere: there is no Inbox 'nowhere'"),
        ("pools:\n  nowhere: {}", 2, "pools.nowhere: there is no pool"),
        ("inboxes:\n  sales:\n    fallback: nowhere", 3, "there is no Inbox 'nowhere'"),
        ("defaults:\n  relaxation:\n    - {after: 9, inboxes: [nowhere]}", 3, "no Inbox 'nowhere'"),
        ("skills: [french]\ndefaults:\n  relaxation:\n    - after: 9\n      drop: [german]", 5, "no skill"),
        ("skills: [a]\ndefaults:\n  relaxation:\n  - {after: 9, skills: {b: -1}}", 4, "no skill 'b'"),
        ("skills: [a, a]", 1, "skills.1: 'a' is there twice"),
        ("inboxes:\n  last:\n    fallback: support", 3, "overflows in a circle"),
        (
            "inboxes:\n  last:\n    relaxation:\n      - after: 9\n        inboxes: [support]",
            5,
            "overflows in a circle: last -> support -> last",
        ),
        ("inboxes:\n  sales:\n    fallback: sales", 3, "sales overflows into itself"),
        ("inboxes:\n  sales:\n    fallback: far", 3, "far is in pool other, sales in main"),
        ("inboxes:\n  far:\n    relaxation:\n    - {after: 1, inboxes: [sales]}", 4, "sales is in pool main"),
        ("defaults:\n  heartbeat_seconds: 0", 2, "greater than 0, not 0"),
        ("defaults:\n  wrap_up_seconds: -1", 2, "greater than or equal to 0, not -1"),
        ("defaults:\n  targets:\n    voice: -3", 3, "targets.voice"),
        ("defaults:\n  timeouts_until_away: 0", 2, "greater than or equal to 1, not 0"),
        ("defaults:\n  relaxation:\n    - {after: 0, lower: 1}", 3, "relaxation.0.after"),
        ("defaults:\n  relaxation:\n    - {after: 9, lower: -1}", 3, "relaxation.0.lower"),
        ("defaults:\n  relaxation:\n    - {after: 9, skills: {a: 1}}", 3, "relaxation.0.skills.a"),
        ("defaults:\n  relaxation:\n    - {after: 9, priority: 0}", 3, "relaxation.0.priority"),
        ("defaults:\n  relaxation:\n    - {after: 9}", 3, "does nothing"),
        ("defaults:\n  relaxation:\n  - {after: 9, lower: 1}\n  - {after: 9, lower: 2}", 4, "not after"),
        ("defaults:\n  relaxation:\n  - {after: 9, drop: [a, a]}", 3, "'a' is there twice"),
        ("inboxes:\n  sales: {}\n  last: {}\n  sales: {}", 4, "inboxes.sales: is there twice"),
        ("defaults:\n  choice: best", 2, "'least_loaded'"),
        ("inboxes:\n  sales:\n    heartbeat_seconds: 3", 3, "not permitted"),
        ("defaults:\n  colour: red", 2, "not permitted"),
        ("defaults:\n  ageing: {every: true}", 2, "valid integer"),
        ("defaults:\n\tchoice: x", 2, "not YAML"),
        ("[]", 1, "the file: "),
    ],
)
def test_a_fault_is_named_with_file_line_and_field(content: str, line: int, words: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        policy(content.encode())
    assert str(caught.value).startswith(f"routing.yaml, line {line}:")
    assert words in str(caught.value)


def test_several_faults_are_named_at_once() -> None:
    with pytest.raises(BadPolicy) as caught:
        policy(b"inboxes:\n  one: {}\n  two: {}")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "routing.yaml, line 2",
        "routing.yaml, line 3",
    ]


def test_without_a_file_the_program_and_the_inboxes_decide(tmp_path: Path) -> None:
    own = load(tmp_path / "none.yaml", INBOXES, Policy())["main"]
    assert own.of("sales") == InboxPolicy()


@pytest.mark.parametrize("path", ["local/routing.yaml", "k8s/base/routing.yaml"])
def test_the_files_that_come_with_parley_are_right(path: str) -> None:
    inboxes = load_inboxes(LOCAL / "local" / "agents.yaml")
    own = load(LOCAL / path, inboxes, Policy())["main"]
    assert own.of("support").targets[ChannelClass.MESSAGING] == 60


async def test_a_changed_file_is_taken_over_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "routing.yaml"
    path.write_bytes(b"defaults: {choice: round_robin}")
    policies = Policies(path, INBOXES, Policy())
    assert policies.of("main").of("sales").choice == "round_robin"
    path.write_bytes(b"defaults: {choice: best}")
    await policies.look()
    assert policies.of("main").of("sales").choice == "round_robin"
    path.write_bytes(b"defaults: {choice: longest_idle}")
    await policies.look()
    assert policies.of("main").of("sales").choice == "longest_idle"
    assert policies.of("no longer there") == Policy()


def test_a_bad_file_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "routing.yaml"
    path.write_bytes(b"inboxes: {nowhere: {}}")
    with pytest.raises(BadPolicy):
        Policies(path, INBOXES, Policy())


@pytest.mark.parametrize("given", [TakeOver(policy()), NewPolicy(policy())])
def test_the_journal_gives_back_the_policy_it_was_given(given: TakeOver | NewPolicy) -> None:
    assert decode(encode(given)) == given


def test_a_policy_from_before_inboxes_had_any_is_still_read() -> None:
    former = {
        "offer_seconds": 20.0,
        "ask_again_seconds": 61.0,
        "timeouts_until_away": 2,
        "heartbeat_seconds": 30.0,
        "preferred_grace_seconds": 3.0,
        "remember_seconds": 600.0,
    }
    own = from_document(former)
    assert (own.ask_again_seconds, own.of("any").rings(ChannelClass.EMAIL)) == (61, 20)
    assert own.of("any").preferred_grace_seconds == 3
