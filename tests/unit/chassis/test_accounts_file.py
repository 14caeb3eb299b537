"""A changed accounts file is taken over as a whole or not at all; files of secrets count as part of it."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.chassis import accounts_file, metrics
from services.chassis.accounts import Accounts, AccountsError
from services.chassis.accounts_file import AccountsFile

ENTRY = """
  - provider: "whatsapp"
    account: "{name}"
    channel: "whatsapp"
    address: "{name}"
    inbox: "support"
    secrets: {{app_secret: {secret}}}
"""
LITERAL = '"hidden"'


def text(*names: str, secret: str = LITERAL) -> str:
    return "accounts:" + ("".join(ENTRY.format(name=name, secret=secret) for name in names) or " []")


def remove(path: Path) -> None:
    path.unlink()


def write(path: Path, content: str) -> None:
    path.write_text(content)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_file, "_SETTLE_SECONDS", 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.yaml"
    path.write_text(text("a", "b"))
    return path


def names(accounts: Accounts) -> list[str]:
    return [account.account for account in accounts]


def refused() -> float:
    return metrics.ACCOUNTS_REFUSED.labels("test")._value.get()  # noqa: SLF001  (the client offers no reading)


async def test_who_follows_is_told_of_all_accounts_at_once_and_only_of_changes(file: Path) -> None:
    told: list[list[str]] = []
    watched = AccountsFile(file, "test", "http://127.0.0.1:1")
    watched.follow(lambda accounts: told.append(names(accounts)))
    await watched.look()
    write(file, text("b", "c"))
    with capture_logs() as logs:
        await watched.look()
        await watched.look()
    assert told == [["a", "b"], ["b", "c"]]
    assert {each.api_base for each in watched.accounts} == {"http://127.0.0.1:1/whatsapp"}
    (line,) = logs
    assert (line["event"], line["added"], line["removed"], line["changed"]) == (
        "accounts_changed",
        ["whatsapp/c"],
        ["whatsapp/a"],
        [],
    )


async def test_what_cannot_be_used_changes_nothing_and_is_told_until_it_is_mended(file: Path) -> None:
    watched = AccountsFile(file, "test")
    for broken in (text("a", "a"), text("a", secret="{env: PARLEY_NO_SUCH}"), "accounts: [hidden", ""):
        write(file, broken)
        with capture_logs() as logs:
            await watched.look()
            await watched.look()
        assert (names(watched.accounts), refused()) == (["a", "b"], 1)
        (line,) = logs
        assert line["event"] == "accounts_refused"
        assert str(file) in line["reason"]
        assert "hidden" not in str(line)
    remove(file)
    await watched.look()
    assert (names(watched.accounts), refused()) == (["a", "b"], 1)
    write(file, text("c"))
    await watched.look()
    assert (names(watched.accounts), refused()) == (["c"], 0)


async def test_a_secret_that_kubernetes_swaps_is_read_anew(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "token").write_text(f"secret-{number}\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "token").symlink_to("..data/token")
    file = tmp_path / "accounts.yaml"
    write(file, text("a", secret="{file: token}"))
    watched = AccountsFile(file, "test")
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    with capture_logs() as logs:
        await watched.look()
    (account,) = watched.accounts
    assert account.valid("app_secret") == ("secret-2",)
    assert logs[0]["changed"] == ["whatsapp/a"]
    assert "secret-2" not in str(logs)
    (tmp_path / "..data").unlink()
    await watched.look()
    assert refused() == 1
    (account,) = watched.accounts
    assert account.valid("app_secret") == ("secret-2",)


async def test_a_file_that_is_being_written_waits_until_it_is_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = AccountsFile(file, "test")
    write(file, text("a"))

    async def goes_on(_: float) -> None:
        write(file, text("a", "b", "c"))

    with monkeypatch.context() as patch:
        patch.setattr(accounts_file.asyncio, "sleep", goes_on)
        await watched.look()
    assert names(watched.accounts) == ["a", "b"]
    await watched.look()
    assert names(watched.accounts) == ["a", "b", "c"]


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(file: Path) -> None:
    write(file, text("a", secret="{file: nothing}"))
    with pytest.raises(AccountsError, match=r"entry 1 \(whatsapp/a\): secrets.app_secret: .*cannot be read"):
        AccountsFile(file, "test")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abcd")).map(sorted), min_size=1, max_size=6), st.data())
def test_looks_between_any_writes_end_in_the_last_usable_file(
    tmp_path_factory: pytest.TempPathFactory, versions: list[list[str]], data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("accounts") / "accounts.yaml"
    write(file, text())
    watched = AccountsFile(file, "test")
    seen: list[list[str]] = []
    watched.follow(lambda accounts: seen.append(names(accounts)))

    async def play() -> None:
        for version in versions:
            whole = text(*version)
            cut = data.draw(st.integers(0, len(whole)))
            write(file, whole[:cut] + "\n  - : broken [")
            if data.draw(st.booleans()):
                await watched.look()
            write(file, whole)
            if data.draw(st.booleans()):
                await watched.look()
        await watched.look()

    asyncio.run(play())
    assert seen[-1] == names(watched.accounts) == versions[-1]
    assert all(each in [[], *versions] for each in seen)
    assert all(earlier != later for earlier, later in pairwise(seen))
