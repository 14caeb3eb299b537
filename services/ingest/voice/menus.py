"""The menus a caller hears, read from one YAML file: `IVR_FILE`, explained in deploy/local/ivr.yaml."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from schemas.common import SkillName
from services.chassis import yaml_places
from services.chassis.problems import wording
from services.chassis.text import clean
from services.chassis.yaml_places import Place

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

    def first(self, account: str) -> Menu:
        """Return the menu that a call to the account begins with."""
        return self.named(self.accounts.get(account, self.start), account)

    def named(self, name: str, account: str) -> Menu:
        """Return the menu; the account's first one where there is none of this name any more."""
        known = {menu.name: menu for menu in reversed(self.menus)}
        return known.get(name) or known.get(self.accounts.get(account, self.start)) or self.menus[0]


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
        root, content = yaml_places.parse(path, yaml_places.read(path))
    except yaml_places.Unreadable as error:
        raise BadMenus(str(error)) from None
    try:
        menus = Menus.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _bad(path, root, first["loc"], wording(first)) from None
    for place, what in _contradictions(menus, inboxes):
        raise _bad(path, root, place, what)
    return menus


def _contradictions(menus: Menus, inboxes: Collection[str] | None) -> Iterator[tuple[Place, str]]:
    """Give what names something that is not there, or is there twice."""
    names = [menu.name for menu in menus.menus]
    for n, name in enumerate(names):
        if name in names[:n]:
            yield ("menus", n, "name"), f"the menu {name!r} is there twice"
    goals: list[tuple[Place, str]] = [(("start",), menus.start)]
    goals += [(("accounts", account), goal) for account, goal in menus.accounts.items()]
    bare = {menu.name for menu in menus.menus if not menu.choices}
    for n, menu in enumerate(menus.menus):
        if menu.name in bare and menu.otherwise.menu in bare:
            yield ("menus", n, "otherwise", "menu"), "from a menu without choices leads to another one"
    for place, turn in _turns(menus):
        if turn.menu is not None:
            goals.append(((*place, "menu"), turn.menu))
        if turn.inbox is not None and inboxes is not None and turn.inbox not in inboxes:
            yield (*place, "inbox"), f"{turn.inbox!r} is none of: {', '.join(sorted(inboxes))}"
    yield from ((place, f"there is no menu {goal!r}") for place, goal in goals if goal not in names)


def _turns(menus: Menus) -> Iterator[tuple[Place, Turn]]:
    for n, menu in enumerate(menus.menus):
        for c, choice in enumerate(menu.choices):
            yield ("menus", n, "choices", c), choice
        yield ("menus", n, "otherwise"), menu.otherwise


def _bad(path: Path, root: yaml.Node | None, place: Place, what: str) -> BadMenus:
    field = ".".join(map(str, place)) or "the file"
    return BadMenus(f"{path}, line {yaml_places.line(root, place)}: {field}: {clean(what)}")
