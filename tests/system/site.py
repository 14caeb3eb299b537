"""Where a system is reached, and what signs for it: several processes, or one local stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.keys import StackKeys
from deploy.local.up import SERVICES
from services.chassis.accounts import Account, Accounts

_ROLES = {"lea": "lead", "adam": "admin", "local": "service"}


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses of each service's replicas, and the keys of the world around them."""

    bases: Mapping[str, Sequence[str]]
    simulator: str
    public_url: str
    keys: StackKeys
    accounts: Accounts

    def token(self, who: str) -> str:
        """Return a token of `who`: `lea` is a lead, `adam` an admin, all others are Agents."""
        return self.keys.token(who, [_ROLES.get(who, "agent")], datetime.now(UTC))

    def account(self, provider: str, name: str = "demo") -> Account:
        """Return one of our accounts; raises LookupError."""
        found = self.accounts.find(provider, name)
        if found is None:
            raise LookupError(f"no account {name} of {provider}")
        return found


def local_site(url: str, data_dir: Path, accounts_file: Path) -> Site:
    """Return the site of one local stack, where all services share an address."""
    keys, accounts = StackKeys.load(data_dir), Accounts.load(accounts_file)
    return Site({name: [url] for name in SERVICES}, url, url, keys, accounts)
