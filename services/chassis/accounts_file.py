"""The accounts file while a service runs: looked at again and again, and taken over when it has changed."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from services.chassis import metrics
from services.chassis.accounts import Account, Accounts, AccountsError
from services.chassis.logging import log
from services.chassis.secrets import read_file

_SETTLE_SECONDS = 0.2
Learn = Callable[[Accounts], None]


class AccountsFile:
    """Gives the accounts in force, and tells who follows when there are others.

    A change is of the file or of any file that holds a secret, told by contents: Kubernetes swaps symlinks,
    editors rename, and clocks of file systems are coarse. It is taken over as a whole or not at all.
    """

    def __init__(self, path: Path, service: str, provider_api_base: str | None = None) -> None:
        """Read the accounts; raises AccountsError. See `Accounts.load`."""
        self._path, self._service, self._provider_api_base = path, service, provider_api_base
        self._followers: list[Learn] = []
        self._reading = _Reading()
        self.accounts = self._load(self._reading)
        metrics.ACCOUNTS_REFUSED.labels(service).set(0)

    def follow(self, learn: Learn) -> None:
        """Call `learn` with the accounts now, and with all of them whenever any has changed."""
        learn(self.accounts)
        self._followers.append(learn)

    async def look(self) -> None:
        """Take over what has changed since the last look; what cannot be used changes nothing."""
        if await asyncio.to_thread(self._reading.is_current):
            return
        reading = _Reading()
        try:
            read: Accounts | AccountsError = await asyncio.to_thread(self._load, reading)
        except AccountsError as error:
            read = error
        await asyncio.sleep(_SETTLE_SECONDS)
        if not await asyncio.to_thread(reading.is_current):
            return  # somebody is writing: the next look finds it whole
        self._reading = reading
        metrics.ACCOUNTS_REFUSED.labels(self._service).set(isinstance(read, AccountsError))
        if isinstance(read, AccountsError):
            log.error("accounts_refused", service=self._service, reason=str(read))
        else:
            self._take_over(read)

    def _load(self, reading: "_Reading") -> Accounts:
        return Accounts.load(self._path, self._provider_api_base, reading)

    def _take_over(self, accounts: Accounts) -> None:
        before, after = _named(self.accounts), _named(accounts)
        if before == after:
            return
        self.accounts = accounts
        log.info(
            "accounts_changed",
            service=self._service,
            added=sorted(after.keys() - before.keys()),
            removed=sorted(before.keys() - after.keys()),
            changed=sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
        )
        for learn in self._followers:
            learn(accounts)


class _Reading:
    """Reads files, and knows later whether they are still as they were read."""

    def __init__(self) -> None:
        self._digests: dict[Path, bytes | None] = {}
        self._torn = False

    def __call__(self, path: Path) -> bytes:
        """Return the file's bytes. Raises OSError."""
        self._digests.setdefault(path, None)
        content = read_file(path)
        digest = sha256(content).digest()
        self._torn |= self._digests[path] not in (None, digest)
        self._digests[path] = digest
        return content

    def is_current(self) -> bool:
        """Tell whether every file is as it was read; one that was not there is still away."""
        return not self._torn and all(_digest(path) == known for path, known in self._digests.items())


def _digest(path: Path) -> bytes | None:
    try:
        return sha256(read_file(path)).digest()
    except OSError:
        return None


def _named(accounts: Accounts) -> dict[str, Account]:
    return {f"{account.provider}/{account.account}": account for account in accounts}
