"""Inboxes: in which pool their Conversations are routed, and how long things last in them."""

from collections.abc import Mapping
from os import environ
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_MAILS_PER_HOUR = 200
_FROM_ENVIRONMENT = {
    "reopen_window_seconds": "REOPEN_WINDOW_SECONDS",
    "contact_idle_seconds": "CONTACT_IDLE_SECONDS",
    "same_agent_seconds": "SAME_AGENT_SECONDS",
}
"""Defaults that a variable of the environment replaces, for every Inbox that does not say otherwise."""


class BadInboxes(ValueError):  # noqa: N818  (says what the file is)
    """The file of Inboxes is wrong; the text names file, Inbox and field."""


class Inbox(BaseModel):
    """One Inbox. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=100)
    pool: str = Field("main", min_length=1, max_length=100)
    """Whose Agents serve it; an Agent belongs to one pool."""
    fallback: str | None = None
    """Another Inbox of the pool, for what no Agent of this one could ever serve."""
    reopen_window_seconds: float = Field(86_400, ge=0)
    """A message so soon after the close reopens the Conversation; later it begins a new one."""
    contact_idle_seconds: float = Field(900, gt=0)
    """A messaging Contact ends after so long without a message, when the last one is ours."""
    contact_max_seconds: float = Field(86_400, gt=0)
    """An answered messaging Contact ends at most so long after it started."""
    call_max_seconds: float = Field(14_400, gt=0)
    """A call of which nobody heard the end is over so long after its start."""
    same_agent_seconds: float = Field(28_800, ge=0)
    """So long a returning Conversation prefers the Agent it had."""
    mails_per_hour: int = Field(30, ge=1, le=MOST_MAILS_PER_HOUR)
    """An address with which so many mails went either way in an hour is recorded, and wakes nobody."""
    ticket_notice: str = Field(
        "We have made a ticket of your request. Its number is {number}.",
        max_length=1000,
        pattern=r"^$|\{number\}",
    )
    """What the Customer is sent when a ticket is made, with `{number}` in it; empty for nothing."""


def inbox_of(inboxes: Mapping[str, Inbox], name: str) -> Inbox:
    """Return the Inbox; with the default rules where it is configured no more but still in use."""
    return inboxes.get(name) or Inbox(name=name)


def load_inboxes(path: Path, variables: Mapping[str, str] = environ) -> Mapping[str, Inbox]:
    """Read the list `inboxes:` of a YAML file, by name and in its order. Raises BadInboxes, OSError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadInboxes(f"{path.name}: {error}") from error
    rows = content.get("inboxes") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise BadInboxes(f"{path.name}: a list `inboxes:` with at least one Inbox is needed")
    defaults = {field: variables[name] for field, name in _FROM_ENVIRONMENT.items() if variables.get(name)}
    return _by_name(path.name, [_read(path.name, row, defaults) for row in rows])


def _read(file: str, row: Any, defaults: Mapping[str, str]) -> Inbox:  # noqa: ANN401  (anything can stand in YAML)
    if not isinstance(row, dict):
        raise BadInboxes(f"{file}: each Inbox is a mapping with a `name`")
    try:
        return Inbox.model_validate({**defaults, **row})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadInboxes(f"{file}: Inbox {row.get('name', '?')}: {field}: {first['msg']}") from error


def _by_name(file: str, inboxes: list[Inbox]) -> dict[str, Inbox]:
    named: dict[str, Inbox] = {}
    for inbox in inboxes:
        if inbox.name in named:
            raise BadInboxes(f"{file}: Inbox {inbox.name} is listed twice")
        named[inbox.name] = inbox
    for inbox in inboxes:
        if inbox.fallback is None:
            continue
        fallback = named.get(inbox.fallback)
        if fallback is None or fallback is inbox or fallback.pool != inbox.pool:
            raise BadInboxes(
                f"{file}: Inbox {inbox.name}: fallback: {inbox.fallback} is no other Inbox of its pool"
            )
    return named
