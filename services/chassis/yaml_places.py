"""Where in a YAML file something stands: what is wrong in it is named by its line."""

from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""Keys and indexes, from the outside in."""


class Unreadable(ValueError):  # noqa: N818  (says what the file is)
    """The file is not there, not UTF-8 or not YAML; the text names file and line."""


def read(path: Path) -> str:
    """Return the file's text. Raises Unreadable."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        raise Unreadable(message) from None


def parse(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    """Return the file's nodes, for `line`, and its content. Raises Unreadable."""
    try:
        return yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        message = f"{path}" + (f", line {mark.line + 1}" if mark else "") + ": not YAML"
        raise Unreadable(message) from None


def line(node: yaml.Node | None, place: Place) -> int:
    """Return the line, from 1, of the deepest part of `place` that the file has: of its key, or entry."""
    found = 0
    for step in place:
        below = _below(node, step)
        if below is None:
            break
        found, node = below
    return found + 1


def _below(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    """Return where a part begins, and what it holds; of a key that is there twice the last one counts."""
    if isinstance(node, yaml.MappingNode):
        found = (pair for pair in reversed(node.value) if pair[0].value == str(step))
        return next(((key.start_mark.line, value) for key, value in found), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child: yaml.Node = node.value[step]
        return child.start_mark.line, child
    return None
