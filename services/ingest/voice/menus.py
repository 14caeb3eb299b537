"""The menus a caller hears, read from one YAML file: `IVR_FILE`, explained in deploy/local/ivr.yaml."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from schemas.common import SkillName
from services.chassis.text import clean

_TARGETS = ("menu", "voicemail", "enqueue", "dial", "hang_up")
_MOST_WORDS = 20

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9*]{1,8}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Topic = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$", max_length=100)]


class BadMenus(ValueError):  # noqa: N818  (says what the file is)
    """The file of menus is wrong; the text names file, line and field."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Turn(_Part):
    """Where a call goes on: exactly one of menu, voicemail, enqueue, dial and hang_up."""

    say: Prompt | None = None
    """Said before."""
    topic: Topic | None = None
    """The Topic that the Conversation gets."""
    skills: dict[SkillName, Annotated[int, Field(ge=1, le=100)]] = {}
    """Skills, with the least level, that the Agent must have."""
    inbox: str | None = None
    """The Inbox that the Conversation moves to."""
    menu: Name | None = None
    """The next menu."""
    voicemail: Prompt | None = None
    """Said before the beep; then a message is recorded."""
    enqueue: Name | None = None
    """The provider's queue, where the caller waits for an Agent."""
    dial: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = None
    """A number (E.164) to connect the caller with."""
    hang_up: bool = False
    """The question is answered: the call ends."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(bool(getattr(self, name)) for name in _TARGETS) != 1:
            message = f"needs exactly one of: {', '.join(_TARGETS)}"
            raise ValueError(message)
        return self


class Choice(Turn):
    """What a caller may press or say."""

    digits: Digits | None = None
    words: tuple[Word, ...] = Field((), max_length=_MOST_WORDS)
    """Words or phrases; one of them in what was said is enough."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.digits is None and not self.words:
            message = "needs digits or words"
            raise ValueError(message)
        return self


class Menu(_Part):
    """A prompt, and what may be answered to it."""

    name: Name
    say: Prompt
    language: Language = "en-US"
    """Of speech both ways (BCP 47)."""
    voice: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    """The provider's name of a voice."""
    choices: tuple[Choice, ...] = Field((), max_length=12)
    timeout_seconds: int = Field(5, ge=1, le=60)
    """Longest silence."""
    tries: int = Field(3, ge=1, le=10)
    """How often it is said before `otherwise`."""
    invalid: Prompt = "Sorry, I did not get that."
    """Said before it is said again."""
    otherwise: Turn
    """For who chose nothing, and where nobody answers."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen: set[str] = set()
        for choice in self.choices:
            for key in filter(None, (choice.digits, *map(str.casefold, choice.words))):
                if key in seen:
                    message = f"{key!r} is chosen twice"
                    raise ValueError(message)
                seen.add(key)
        return self

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All ways out of it."""
        return (*self.choices, self.otherwise)


class Menus(_Part):
    """The whole file."""

    start: Name
    """The menu of calls to accounts that `accounts` does not name."""
    accounts: dict[str, Name] = {}
    """The first menu, by account."""
    menus: tuple[Menu, ...] = Field(min_length=1)
    voicemail_seconds: int = Field(120, ge=2, le=600)
    """Longest message."""
    transcribe: bool = True
    """Messages are transcribed by the provider: at most 120 s, English."""
    goodbye: Prompt = "Thank you. Goodbye."

    @model_validator(mode="after")
    def _connected(self) -> Self:
        names = [menu.name for menu in self.menus]
        for name in names:
            if names.count(name) > 1:
                message = f"the menu {name!r} is there twice"
                raise ValueError(message)
        goals = [turn.menu for menu in self.menus for turn in menu.turns if turn.menu]
        for goal in (self.start, *self.accounts.values(), *goals):
            if goal not in names:
                message = f"there is no menu {goal!r}"
                raise ValueError(message)
        return self

    def first(self, account: str) -> Menu:
        """Return the menu that a call to the account begins with."""
        return self.named(self.accounts.get(account, self.start), account)

    def named(self, name: str, account: str) -> Menu:
        """Return the menu; the first one where there is none of this name any more."""
        for menu in self.menus:
            if menu.name == name:
                return menu
        return self.first(account)


PLAIN = Menus.model_validate(
    {
        "start": "main",
        "menus": [
            {
                "name": "main",
                "say": "Hello.",
                "otherwise": {"voicemail": "Please leave a message after the tone."},
            }
        ],
    }
)
"""Without a file: everybody may leave a message."""


def load_menus(path: Path, inboxes: Collection[str] | None) -> Menus:
    """Read the file; `inboxes` are those that a turn may name, None where nobody knows. Raises BadMenus."""
    try:
        text = path.read_text(encoding="utf-8")
        root, content = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        raise BadMenus(message) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"{path}" + (f", line {mark.line + 1}" if mark else "") + ": not YAML"
        raise BadMenus(message) from None
    try:
        menus = Menus.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _bad(path, root, first["loc"], first["msg"].removeprefix("Value error, ")) from None
    for place, value in _inboxes(menus):
        if inboxes is not None and value not in inboxes:
            raise _bad(path, root, place, f"{value!r} is none of: {', '.join(sorted(inboxes))}")
    return menus


def _inboxes(menus: Menus) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for n, menu in enumerate(menus.menus):
        for place, turn in (
            *((("choices", c), choice) for c, choice in enumerate(menu.choices)),
            (("otherwise",), menu.otherwise),
        ):
            if turn.inbox is not None:
                yield ("menus", n, *place, "inbox"), turn.inbox


def _bad(path: Path, root: yaml.Node | None, place: tuple[str | int, ...], what: str) -> BadMenus:
    field = ".".join(map(str, place)) or "the file"
    return BadMenus(f"{path}, line {_line(root, place)}: {field}: {clean(what)}")


def _line(node: yaml.Node | None, place: tuple[str | int, ...]) -> int:
    """Return the line, from 1, of the deepest part of `place` that the file has."""
    line = 0
    for step in place:
        if node is None:
            break
        line, node = node.start_mark.line, _child(node, step)
    return (node.start_mark.line if node is not None else line) + 1


def _child(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child
    return None
