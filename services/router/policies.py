"""The file of routing policies: read, checked, and looked at again while the service runs."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services.chassis.inboxes import Inbox
from services.chassis.logging import log
from services.chassis.text import clean
from services.chassis.yaml_places import Place, line
from services.router.domain.policy import InboxPolicy, Policy
from services.router.policy_forms import FileForm, InboxForm, PoolForm, Step

_SHOWN = 10


class BadPolicy(ValueError):  # noqa: N818  (says what the file is)
    """The file of policies is wrong; the text names file, line and field of each fault, a line each."""


class Policies:
    """The policy of each pool, as the file has it now. Without a file, as the program and Inboxes have it."""

    def __init__(self, path: Path, inboxes: Mapping[str, Inbox], base: Policy) -> None:
        """Read the file. Raises BadPolicy."""
        self._path, self._inboxes, self._base = path, inboxes, base
        self._content = _read(path)
        self._by_pool = parse(path.name, self._content, inboxes, base)

    def of(self, pool: str) -> Policy:
        """Return the pool's policy; one that has no Inboxes any more keeps the program's."""
        return self._by_pool.get(pool, self._base)

    async def look(self) -> None:
        """Take over a changed file; one that cannot be used changes nothing, and is told of once."""
        try:
            content = await asyncio.to_thread(_read, self._path)
            if content == self._content:
                return
            self._content = content
            self._by_pool = await asyncio.to_thread(
                parse, self._path.name, content, self._inboxes, self._base
            )
            log.info("policies_taken_over", file=self._path.name)
        except BadPolicy as error:
            log.warning("policies_not_taken_over", error=str(error))


def load(path: Path, inboxes: Mapping[str, Inbox], base: Policy) -> Mapping[str, Policy]:
    """Return the policies that a file says for the pools of `inboxes`, over `base`. Raises BadPolicy."""
    return parse(path.name, _read(path), inboxes, base)


def parse(file: str, content: bytes, inboxes: Mapping[str, Inbox], base: Policy) -> Mapping[str, Policy]:
    """Return each pool's policy. Raises BadPolicy, naming `file`."""
    root, document = _yaml(file, content)
    faults = list(_repeated_keys(root, ()))
    form = FileForm()
    if not faults:
        try:
            form = FileForm.model_validate({} if document is None else document)
        except ValidationError as error:
            faults = [(each["loc"], _worded(each)) for each in error.errors(include_url=False)]
    if not faults:
        faults = list(_contradictions(form, inboxes))
    policies = {} if faults else _policies(form, inboxes, base)
    faults = faults or list(_overflows(policies, form, inboxes))
    if faults:
        told = sorted({(line(root, place), place, what) for place, what in faults}, key=lambda each: each[0])
        raise BadPolicy(
            "\n".join(
                f"{file}, line {number}: {'.'.join(map(str, place)) or 'the file'}: {clean(what)}"
                for number, place, what in told[:_SHOWN]
            )
        )
    return policies


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        message = f"{path.name}: cannot be read: {error.strerror}"
        raise BadPolicy(message) from None


def _yaml(file: str, content: bytes) -> tuple[yaml.Node | None, Any]:
    try:
        return yaml.compose(content, yaml.SafeLoader), yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        message = f"{file}" + (f", line {mark.line + 1}" if mark else "") + ": not YAML"
        raise BadPolicy(message) from None


def _worded(error: Any) -> str:  # noqa: ANN401  (pydantic's ErrorDetails)
    what = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    return f"{what}, not {given!r}" if isinstance(given, int | float | str) else what


def _policies(form: FileForm, inboxes: Mapping[str, Inbox], base: Policy) -> dict[str, Policy]:
    policies = {}
    for pool in dict.fromkeys(inbox.pool for inbox in inboxes.values()):
        own = form.pools.get(pool, PoolForm())
        settings = own.of_agents(replace(base, **form.defaults.of_agents(base)))
        shared = own.over(form.defaults.over(base.defaults))
        named = {
            name: form.inboxes.get(name, InboxForm()).over(_of_inbox(inbox, shared, own, form))
            for name, inbox in inboxes.items()
            if inbox.pool == pool
        }
        policies[pool] = replace(base, **settings, defaults=replace(shared, fallback=None), inboxes=named)
    return policies


def _of_inbox(inbox: Inbox, shared: InboxPolicy, pool: PoolForm, form: FileForm) -> InboxPolicy:
    """Return what holds for the Inbox as far as it says nothing; nobody falls back on themselves."""
    said = inbox.fallback or pool.fallback or form.defaults.fallback
    steps = tuple(
        replace(step, inboxes=tuple(name for name in step.inboxes if name != inbox.name))
        for step in shared.relaxation
    )
    return replace(shared, fallback=None if said == inbox.name else said, relaxation=steps)


def _contradictions(form: FileForm, inboxes: Mapping[str, Inbox]) -> Iterator[tuple[Place, str]]:
    """Give what names something that is not there, or is there twice."""
    skills = form.skills or ()
    yield from ((("skills", n), f"{skills[n]!r} is there twice") for n in _twice(skills))
    pools = {inbox.pool for inbox in inboxes.values()}
    for pool in form.pools:
        if pool not in pools:
            yield ("pools", pool), f"there is no pool {pool!r}; there are: {', '.join(sorted(pools))}"
    for name in form.inboxes:
        if name not in inboxes:
            yield ("inboxes", name), _no_inbox(name, inboxes)
    for place, part in form.parts():
        if part.fallback is not None and part.fallback not in inboxes:
            yield (*place, "fallback"), _no_inbox(part.fallback, inboxes)
        last = 0.0
        for n, step in enumerate(part.relaxation or ()):
            at = (*place, "relaxation", n)
            if step.after <= last:
                yield (*at, "after"), f"{step.after} s is not after the step before ({last:g} s)"
            last = step.after
            yield from _of_step(at, step, form.skills, inboxes)


def _of_step(
    place: Place, step: Step, skills: Sequence[str] | None, inboxes: Mapping[str, Inbox]
) -> Iterator[tuple[Place, str]]:
    named = [((*place, "skills", name), name) for name in step.skills]
    named += [((*place, "drop", n), name) for n, name in enumerate(step.drop)]
    for at, name in named:
        if skills is not None and name not in skills:
            yield at, f"there is no skill {name!r}; there are: {', '.join(sorted(skills))}"
    yield from (((*place, "drop", n), f"{step.drop[n]!r} is there twice") for n in _twice(step.drop))
    yield from (
        ((*place, "drop", n), f"{name!r} is lowered by the same step")
        for n, name in enumerate(step.drop)
        if name in step.skills
    )
    yield from (((*place, "inboxes", n), f"{step.inboxes[n]!r} is there twice") for n in _twice(step.inboxes))
    for n, name in enumerate(step.inboxes):
        if name not in inboxes:
            yield (*place, "inboxes", n), _no_inbox(name, inboxes)


def _overflows(
    policies: Mapping[str, Policy], form: FileForm, inboxes: Mapping[str, Inbox]
) -> Iterator[tuple[Place, str]]:
    """Give what leads to another pool, or round in a circle: along fallbacks and wider Inboxes."""
    ways: dict[str, list[str]] = {}
    for policy in policies.values():
        for name, own in policy.inboxes.items():
            goals = [goal for step in own.relaxation for goal in step.inboxes]
            goals += [own.fallback] if own.fallback else []
            ways[name] = goals
            for goal in goals:
                if inboxes[goal].pool != inboxes[name].pool:
                    what = f"{goal} is in pool {inboxes[goal].pool}, {name} in {inboxes[name].pool}"
                    yield _where(form, name, inboxes[name].pool, goal), what
                elif goal == name:
                    yield _where(form, name, inboxes[name].pool, goal), f"{name} overflows into itself"
    try:
        TopologicalSorter({name: [goal for goal in ways[name] if goal != name] for name in ways}).prepare()
    except CycleError as error:
        yield _circle(form, inboxes, list(reversed(error.args[1]))[1:])


def _circle(form: FileForm, inboxes: Mapping[str, Inbox], names: list[str]) -> tuple[Place, str]:
    """Return where the file closes the circle, and which it is; told from the Inbox that the file names."""
    turns = [[*names[n:], *names[:n]] for n in range(len(names))]
    told = [(_where(form, turn[0], inboxes[turn[0]].pool, turn[1]), turn) for turn in turns]
    place, turn = max(told, key=lambda each: len(each[0]))
    return place, f"overflows in a circle: {' -> '.join([*turn, turn[0]])}"


def _where(form: FileForm, inbox: str, pool: str, goal: str) -> Place:
    """Return the place that lets an Inbox overflow into another; the Inbox's own where that says so."""
    own: Sequence[tuple[Place, InboxForm | None]] = (
        (("inboxes", inbox), form.inboxes.get(inbox)),
        (("pools", pool), form.pools.get(pool)),
        (("defaults",), form.defaults),
    )
    for place, part in own:
        if part is None:
            continue
        for n, step in enumerate(part.relaxation or ()):
            if goal in step.inboxes:
                return (*place, "relaxation", n, "inboxes", step.inboxes.index(goal))
        if part.fallback == goal:
            return (*place, "fallback")
    return ("inboxes", inbox)


def _no_inbox(name: str, inboxes: Mapping[str, Inbox]) -> str:
    return f"there is no Inbox {name!r}; there are: {', '.join(sorted(inboxes))}"


def _twice(names: Sequence[str]) -> list[int]:
    return [n for n, name in enumerate(names) if name in names[:n]]


def _repeated_keys(node: yaml.Node | None, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(node, yaml.MappingNode):
        keys = [str(key.value) for key, _ in node.value]
        for n, (key, value) in enumerate(node.value):
            if keys[n] in keys[:n]:
                yield (*place, key.value), "is there twice"
            yield from _repeated_keys(value, (*place, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for n, value in enumerate(node.value):
            yield from _repeated_keys(value, (*place, n))
