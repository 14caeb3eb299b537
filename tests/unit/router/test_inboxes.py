"""The list of Inboxes: defaults, the environment, and mistakes named."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.chassis.inboxes import BadInboxes, Inbox, load_inboxes


def load(tmp_path: Path, text: str, **variables: str) -> Mapping[str, Inbox]:
    path = tmp_path / "agents.yaml"
    path.write_text(text)
    return load_inboxes(path, variables)


def test_times_come_from_the_inbox_then_the_environment_then_the_default(tmp_path: Path) -> None:
    text = "inboxes:\n- name: support\n- {name: vip, reopen_window_seconds: 5}\n"
    inboxes = load(tmp_path, text, REOPEN_WINDOW_SECONDS="60", CONTACT_IDLE_SECONDS="")
    times = {name: (each.reopen_window_seconds, each.contact_idle_seconds) for name, each in inboxes.items()}
    assert times == {"support": (60.0, 900.0), "vip": (5.0, 900.0)}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("inboxes: []", "at least one Inbox"),
        ("agents: []", "at least one Inbox"),
        ("inboxes: [support]", "each Inbox is a mapping"),
        ("inboxes: [{name: a}, {name: a}]", "Inbox a is listed twice"),
        ("inboxes: [{name: a, contact_idle_seconds: 0}]", "Inbox a: contact_idle_seconds"),
        ("inboxes: [{name: a, reopen: 3}]", "Inbox a: reopen"),
        ("inboxes: [{name: a, fallback: b}]", "Inbox a: fallback: b"),
        ("inboxes: [{name: a, fallback: b}, {name: b, pool: far}]", "Inbox a: fallback: b"),
        ("inboxes: [", "agents.yaml"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadInboxes, match=named):
        load(tmp_path, text)
