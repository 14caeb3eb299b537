"""The operator's rules, read from one YAML file: `RULES_FILE`, explained in docs/rules.md."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.chassis import yaml_places
from services.chassis.logging import log
from services.chassis.problems import wording
from services.chassis.text import clean
from services.chassis.yaml_places import Place
from services.conversation.domain.ruling.definition import Rules


class BadRules(ValueError):  # noqa: N818  (says what the file is)
    """The file of rules is wrong; the text names file, line, rule and field."""


class BadRule(ValueError):  # noqa: N818  (says what the rule is)
    """One rule is wrong."""

    def __init__(self, place: Place, rule: str | None, what: str) -> None:
        super().__init__(what)
        self.place = place
        """Where, from `rules` on."""
        self.rule = rule
        """The rule's name, as far as it has one."""
        self.what = what

    @property
    def field(self) -> str:
        """The place as one name: `rules.0.then.inbox`."""
        return ".".join(map(str, self.place)) or "rules"

    def __str__(self) -> str:
        """Name rule and field, and what is wrong there."""
        inside = ".".join(map(str, self.place[2:]))
        where = f"rule {self.rule}: {inside}" if self.rule and inside else self.rule and f"rule {self.rule}"
        return f"{where or self.field}: {self.what}"


def rules_of(content: object, inboxes: Collection[str]) -> Rules:
    """Return the rules of `{"rules": […]}`; they may name these Inboxes only. Raises BadRule."""
    try:
        rules = Rules.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = first["loc"]
        what = "there is no such field" if first["type"] == "extra_forbidden" else clean(wording(first))
        raise BadRule(place, _name_at(content, place), what) from None
    names: set[str] = set()
    for n, rule in enumerate(rules.rules):
        if rule.name in names:
            raise BadRule(("rules", n, "name"), rule.name, "this name is there twice")
        names.add(rule.name)
        for place, inbox in (
            *((("if", "inbox", i), each) for i, each in enumerate(rule.conditions.inbox)),
            *(((("then", "inbox"), rule.then.inbox),) if rule.then.inbox else ()),
        ):
            if inbox not in inboxes:
                what = f"{clean(inbox)!r} is none of: {', '.join(sorted(inboxes))}"
                raise BadRule(("rules", n, *place), rule.name, what)
    return rules


class RulesFile:
    """The rules, as the file has them now."""

    def __init__(self, path: Path, inboxes: Collection[str]) -> None:
        """Read the file; one that is not there holds no rules. Raises BadRules."""
        self._path = path
        self._inboxes = inboxes
        self._content = _read(path) if path.exists() else ""
        if not path.exists():
            log.warning("rules_file_missing", file=str(path))
        self.rules = _parsed(path, self._content, inboxes)

    async def look(self) -> bool:
        """Take over a changed file, and return whether that changed the rules.

        One that cannot be used, or is gone, changes nothing.
        """
        if not self._path.exists():
            return False
        try:
            content = await asyncio.to_thread(_read, self._path)
            if content == self._content:
                return False
            self._content = content  # one that cannot be used is told of once
            rules = await asyncio.to_thread(_parsed, self._path, content, self._inboxes)
        except BadRules as error:
            log.error("rules_not_taken_over", error=str(error))
            return False
        changed, self.rules = rules != self.rules, rules
        log.info("rules_taken_over", rules=len(rules.rules))
        return changed


def _read(path: Path) -> str:
    try:
        return yaml_places.read(path)
    except yaml_places.Unreadable as error:
        raise BadRules(str(error)) from None


def _parsed(path: Path, text: str, inboxes: Collection[str]) -> Rules:
    try:
        root, content = yaml_places.parse(path, text)
    except yaml_places.Unreadable as error:
        raise BadRules(str(error)) from None
    try:
        return rules_of({} if content is None else content, inboxes)
    except BadRule as error:
        message = f"{path}, line {yaml_places.line(root, error.place)}: {error}"
        raise BadRules(message) from None


def _name_at(content: object, place: Place) -> str | None:
    rows: Any = content.get("rules") if isinstance(content, Mapping) else None
    index = place[1] if len(place) > 1 else None
    if not isinstance(rows, list | tuple) or not isinstance(index, int) or index >= len(rows):
        return None
    row = rows[index]
    name = row.get("name") if isinstance(row, Mapping) else None
    return clean(name)[:64] if isinstance(name, str) else None
