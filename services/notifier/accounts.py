"""`python -m services.notifier.accounts check [provider/account ...]`: asks providers whether accounts work.

Exit codes: 0 all do, 1 not all, 2 wrong usage.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from services.chassis.accounts import Account, Accounts, AccountsError
from services.chassis.provider_client import provider_client
from services.notifier.channels.checks import Asking, Trouble
from services.notifier.channels.registry import CHECKS
from services.notifier.domain import source_of
from services.notifier.settings import NotifierSettings

WORKS, TROUBLE = range(2)
_AT_ONCE = 8
_COLUMNS = ("ACCOUNT", "STATE", "WHAT", "TO DO")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says of an account."""

    source: str
    state: str
    """`ok`, `trouble`, or `unchecked` where the provider cannot be asked."""
    what: str = ""
    remedy: str = ""


async def check(accounts: Iterable[Account], client: httpx.AsyncClient, public_url: str) -> list[Finding]:
    """Check all accounts, some at a time; the findings are in their order."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(account: Account) -> Finding:
        async with slots:
            return await _finding(account, client, public_url)

    return list(await asyncio.gather(*map(one, accounts)))


async def _finding(account: Account, client: httpx.AsyncClient, public_url: str) -> Finding:
    source = source_of(account.provider, account.account)
    made = CHECKS.get(account.provider)
    if made is None:
        return Finding(source, "unchecked", "there is no check of this provider")
    webhook = f"{public_url.rstrip('/')}/ingest/v1/{source}"
    try:
        return Finding(source, "ok", await made(Asking(client, webhook), account))
    except Trouble as trouble:
        return Finding(source, "trouble", trouble.wrong, trouble.remedy)


def table(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line a finding, in columns under a heading."""
    rows = [_COLUMNS, *((each.source, each.state, each.what, each.remedy) for each in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _chosen(accounts: Accounts, names: Sequence[str]) -> list[Account]:
    """Return the accounts of these names, or all. Raises AccountsError."""
    known = {source_of(each.provider, each.account): each for each in accounts}
    for name in names:
        if name not in known:
            raise AccountsError(f"there is no account {name}; there are: {', '.join(sorted(known))}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


async def _run(chosen: Sequence[Account], settings: NotifierSettings) -> list[Finding]:
    async with provider_client(settings.send_timeout_seconds) as client:
        return await check(chosen, client, settings.public_url)


def main(arguments: Sequence[str], settings: NotifierSettings | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.notifier.accounts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="ask each provider whether our account works")
    checking.add_argument("accounts", nargs="*", metavar="provider/account", help="only these")
    given = parser.parse_args(arguments)
    settings = settings or NotifierSettings()
    try:
        chosen = _chosen(Accounts.load(settings.accounts_file, settings.provider_api_base), given.accounts)
    except AccountsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  (talks to a person at a terminal)
        return TROUBLE
    findings = asyncio.run(_run(chosen, settings))
    for row in table(findings):
        print(row)  # noqa: T201  (as above)
    return TROUBLE if any(each.state == "trouble" for each in findings) else WORKS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
