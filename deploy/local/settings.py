"""`make settings`: lists what every service reads from the environment, with defaults."""

import importlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo
from rich.table import Table

from deploy.local.terminal import wide_console
from deploy.local.up import SERVICES
from services.chassis.inboxes import Inbox
from services.chassis.settings import Settings, TopicSettings

_INBOX = ("reopen_window_seconds", "contact_idle_seconds", "same_agent_seconds")


def main() -> None:
    """Print one table for all services, and one for what each has of its own."""
    console = wide_console()
    console.print(_table("all services", Settings.model_fields))
    console.print(
        _table("every Inbox that does not say otherwise", {name: Inbox.model_fields[name] for name in _INBOX})
    )
    console.print(_table("python -m services.chassis.topics", _beside_common(TopicSettings)))
    for service in SERVICES:
        for kind in _own(service):
            if own := _beside_common(kind):
                console.print(_table(service, own))


def _beside_common(kind: type[Settings]) -> dict[str, FieldInfo]:
    fields = kind.model_fields
    return {name: field for name, field in fields.items() if name not in Settings.model_fields}


def _own(service: str) -> Iterator[type[Settings]]:
    module = importlib.import_module(f"services.{service}.settings")
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, Settings) and kind.__module__ == module.__name__:
            yield kind


def _table(title: str, fields: dict[str, FieldInfo]) -> Table:
    table = Table("variable", "default", "meaning", title=title, title_justify="left")
    for name, field in fields.items():
        table.add_row(name.upper(), _default(field), field.description or "")
    return table


def _default(field: FieldInfo) -> str:
    if isinstance(field.default, Path):
        return os.path.relpath(field.default)
    return "required" if field.is_required() else str(field.default)


if __name__ == "__main__":
    main()
