"""`make settings`: lists what every service reads from the environment, with defaults."""

import importlib
import inspect
from collections.abc import Iterator

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from deploy.local.up import SERVICES
from services.chassis.settings import Settings


def main() -> None:
    """Print one table for all services, and one for what each has of its own."""
    console = Console()
    console.print(_table("all services", Settings.model_fields))
    for service in SERVICES:
        for kind in _own(service):
            fields = kind.model_fields
            own = {name: field for name, field in fields.items() if name not in Settings.model_fields}
            if own:
                console.print(_table(service, own))


def _own(service: str) -> Iterator[type[Settings]]:
    module = importlib.import_module(f"services.{service}.settings")
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, Settings) and kind.__module__ == module.__name__:
            yield kind


def _table(title: str, fields: dict[str, FieldInfo]) -> Table:
    table = Table("variable", "default", "meaning", title=title, title_justify="left")
    for name, field in fields.items():
        table.add_row(name.upper(), str(field.default), field.description or "")
    return table


if __name__ == "__main__":
    main()
