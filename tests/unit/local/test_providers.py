"""Adding a provider takes its own files and a row in each table: its name stands nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.simulator.registry import STAND_INS
from deploy.local.stack import HERE
from services.chassis.accounts import Accounts
from services.notifier.channels.registry import SENDERS
from tests import recorded

ROOT = Path(__file__).parents[3]
TABLES = {"registry.py", "sources.py"}


def python_files() -> Iterator[Path]:
    for folder in ("services", "deploy/local"):
        yield from (ROOT / folder).rglob("*.py")


def named(path: Path) -> set[str]:
    """Return the names that are spelt out in a file: texts, and modules that are imported."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] in {
            "channels",
            "simulator",
        }:
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("provider", recorded.accounts())
def test_a_providers_name_stands_in_its_own_files_and_in_tables_alone(provider: str) -> None:
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if provider in named(path)
        and path.name not in TABLES
        and not path.stem.startswith(provider.replace("-", "_"))
    ]
    assert elsewhere == []


def test_what_stands_in_for_providers_stands_in_for_those_we_send_through() -> None:
    accounts = Accounts.load(HERE / "accounts.yaml")
    for row in STAND_INS:
        account = accounts.find(row.provider, "demo")
        assert row.provider in SENDERS
        assert account is not None
        assert account.channel is row.channel
