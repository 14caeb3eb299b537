"""What is wrong in a file of rules is named; a file that is wrong changes nothing."""

from pathlib import Path

import pytest
import yaml

from services.chassis.inboxes import load_inboxes
from services.conversation.domain.ruling.definition import NO_AGING, NONE
from services.conversation.rules_file import BadRule, BadRules, RulesFile, rules_of
from tests.unit.conversation.ruled import rules

LOCAL = Path(__file__).parents[3] / "deploy" / "local"
GOOD = "rules: [{name: a, when: message, then: {topic: TOPIC}}]"


@pytest.mark.parametrize(
    ("rule", "field", "what"),
    [
        ("{when: message, then: {close: true}}", "name", "required"),
        ("{name: A B, when: message, then: {close: true}}", "name", "match pattern"),
        ("{name: a, then: {close: true}}", "when", "required"),
        ("{name: a, when: [], then: {close: true}}", "when", "at least 1"),
        ("{name: a, when: mesage, then: {close: true}}", "when.0", "'message'"),
        ("{name: a, when: [message, message], then: {close: true}}", "when", "twice"),
        ("{name: a, when: [message, age], after: 1h, then: {close: true}}", "when", "stands alone"),
        ("{name: a, when: message}", "then", "required"),
        ("{name: a, when: message, then: {}}", "then", "does nothing"),
        ("{name: a, when: message, then: {close: false}}", "then", "does nothing"),
        ("{name: a, when: message, then: {topic: a, set_topic: b}}", "then", "either adds"),
        ("{name: a, when: message, then: {topic: [ok, no topic]}}", "then.topic.1", "pattern"),
        ("{name: a, when: message, then: {priority: 11}}", "then.priority", "less than"),
        ("{name: a, when: message, then: {skills: {billing: 0}}}", "then.skills.billing", "greater"),
        ("{name: a, when: message, then: {inbox: nowhere}}", "then.inbox", "'nowhere' is none of"),
        ("{name: a, when: message, then: {ticket: because}}", "then.ticket", "'investigation'"),
        ("{name: a, when: message, then: {repli: x}}", "then.repli", "no such field"),
        ("{name: a, when: message, if: {inbox: [support, x]}, then: {close: true}}", "if.inbox.1", "'x'"),
        ("{name: a, when: message, if: {chanel: sms}, then: {close: true}}", "if.chanel", "no such field"),
        ("{name: a, when: message, if: {text: {}}, then: {close: true}}", "if.text", "asks for nothing"),
        ("{name: a, when: message, if: {text: '!'}, then: {close: true}}", "if.text.any.0", "`contains`"),
        (
            "{name: a, when: message, if: {text: {pattern: '('}}, then: {close: true}}",
            "if.text.pattern",
            "RE2",
        ),
        (
            "{name: a, when: message, if: {text: {pattern: '(a)\\1'}}, then: {close: true}}",
            "if.text.pattern",
            "RE2",
        ),
        ("{name: a, when: age, then: {close: true}}", "", "`after`"),
        ("{name: a, when: message, after: 1h, then: {close: true}}", "", "`after`"),
        ("{name: a, when: age, after: soon, then: {close: true}}", "after", "whole number and a unit"),
        ("{name: a, when: age, after: 0s, then: {close: true}}", "after", "greater"),
        ("{name: a, when: age, after: 999999999d, then: {close: true}}", "after", "less"),
        ("{name: a, when: message, since: status, then: {close: true}}", "", "`since`"),
        ("{name: a, when: age, after: 1h, every: true, then: {close: true}}", "", "`every`"),
        ("{name: a, when: age, after: 1h, if: {status: closed}, then: {note: x}}", "", "closed"),
        ("{name: a, when: assigned, if: {text: x}, then: {note: x}}", "", "can hold only at"),
        ("{name: a, when: closed, then: {reply: x}}", "", "takes no: reply"),
        ("7", "", "dictionary"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_name_and_field(rule: str, field: str, what: str) -> None:
    with pytest.raises(BadRule) as refusal:
        rules(f"[{{name: fine, when: message, then: {{close: true}}}}, {rule}]")
    assert refusal.value.field == f"rules.1.{field}".rstrip(".")
    assert what in refusal.value.what
    assert refusal.value.rule in ("a", "A B", None)


def test_a_name_is_there_once_and_rules_are_not_too_many() -> None:
    with pytest.raises(BadRule, match="rule a: name: this name is there twice"):
        rules("[{name: a, when: message, then: {close: true}}, {name: a, when: closed, then: {note: x}}]")
    many = [{"name": f"r{n}", "when": "message", "then": {"close": True}} for n in range(201)]
    with pytest.raises(BadRule, match="200"):
        rules_of({"rules": many}, ["support"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "rules:\n  - name: a\n    when: message\n    then: {close: true}\n    colour: red\n",
            "line 5: rule a: colour",
        ),
        ("rules:\n  - name: a\n    when: message\n    then:\n      inbox: x\n", "line 5: rule a: then.inbox"),
        ("rules:\n  - name: a\n    when: message\n    then:\n      close: [\n", "line 6: not YAML"),
        ("rules: 7", "line 1: rules"),
        ("- a", "line 1: rules"),
        ("\x00", "not YAML"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_file_line_rule_and_field_are_named(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(BadRules) as refusal:
        RulesFile(file, ["support"])
    assert str(refusal.value).startswith(str(file))
    assert expected in str(refusal.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_bytes(b"rules: \xff")
    with pytest.raises(BadRules, match="not UTF-8"):
        RulesFile(file, ["support"])


def test_without_a_file_there_are_no_rules(tmp_path: Path) -> None:
    assert RulesFile(tmp_path / "none.yaml", ["support"]).rules == NONE


async def test_a_changed_file_is_taken_over_unless_it_is_wrong_or_gone(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    known = RulesFile(file, ["support"])
    for text, changed, topic in (
        (GOOD, False, "topic"),
        (GOOD.replace("TOPIC", "b"), True, "b"),
        (GOOD.replace("TOPIC", "no topic"), False, "b"),
        ("rules: [", False, "b"),
        (GOOD.replace("TOPIC", "b") + "\n", False, "b"),
        (GOOD, True, "topic"),
    ):
        file.write_text(text)
        assert await known.look() is changed
        assert known.rules.rules[0].then.topic == (topic,)
    file.unlink()
    assert await known.look() is False
    assert known.rules.rules


def test_the_local_file_is_good_and_holds_the_criteria_for_tickets() -> None:
    inboxes = load_inboxes(LOCAL / "agents.yaml")
    known = RulesFile(LOCAL / "rules.yaml", inboxes).rules
    reasons = {rule.then.ticket for rule in known.rules if rule.then.ticket}
    assert reasons == {"customer_request", "investigation", "multi_department", "bug", "compliance"}
    assert all(yaml.safe_dump(rule.model_dump(mode="json")) for rule in known.rules)


def test_rules_of_age_are_told_from_others() -> None:
    assert rules("[{name: a, when: message, then: {close: true}}]").aging == NO_AGING
    assert rules("[{name: a, when: age, after: 1h, then: {close: true}}]").aging != NO_AGING
