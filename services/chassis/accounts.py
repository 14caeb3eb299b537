"""Our addresses on the channels, and the secrets that go with them, read from one YAML file."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, ValidationError

from schemas.common import Channel
from services.chassis.identifiers import InvalidIdentifier, normalise
from services.chassis.secrets import BadSecret, Read, read_file, values
from services.chassis.templates import Template, distinct

_PHONE_CHANNELS = frozenset({Channel.SMS, Channel.VOICE})


class AccountsError(ValueError):
    """The accounts file cannot be used. Says which file, entry and field; never quotes a secret."""


class Account(BaseModel):
    """One address of ours on a channel; it belongs to one Inbox."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: StrictStr = Field(pattern=r"^[a-z0-9-]{1,32}$")
    account: StrictStr = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    channel: Channel
    address: StrictStr = Field(min_length=1)
    """The number (E.164), page id, phone_number_id, mailbox or widget name."""
    inbox: StrictStr = Field(min_length=1)
    secrets: dict[StrictStr, StrictStr] = Field(default_factory=dict, repr=False)
    """The newest value of each, named as the provider names them: `auth_token`, `app_secret`, …"""
    former: dict[StrictStr, tuple[StrictStr, ...]] = Field(default_factory=dict, repr=False)
    """Older values still valid during a rotation, newest first; in the file further items of a list."""
    region: StrictStr = Field(default="US", pattern=r"^[A-Z]{2}$")
    """Country (ISO 3166) of numbers that come without one."""
    api_base: StrictStr | None = None
    """Where the provider's sending API is; without it the provider's own address."""
    source: StrictStr | None = None
    """Name of the system whose ids a web chat's site signs (`external:<source>`); default: `account`."""
    rate_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Most requests a second that a replica sends from it in the long run; default: the provider's."""
    burst: int | None = Field(default=None, ge=1)
    """Most requests sent at once after a pause; default: the provider's."""
    templates: Annotated[tuple[Template, ...], AfterValidator(distinct)] = ()
    """Texts approved beforehand, for Customers who have been silent for too long."""
    help_text: StrictStr | None = Field(None, min_length=1, max_length=1600)
    """What HELP is answered with; without it nothing, since providers answer by themselves."""

    def template(self, name: str, language: str) -> Template | None:
        """Return the template of that name and language."""
        return next((each for each in self.templates if (each.name, each.language) == (name, language)), None)

    def valid(self, name: str) -> tuple[str, ...]:
        """Return every value of the secret that a request may be signed with now, the newest first."""
        value = self.secrets.get(name, "")
        return (value, *self.former.get(name, ())) if value else ()

    def shares(self, name: str, other: "Account") -> bool:
        """Tell whether `other` has the same secret: what one's signature proves, the other's does too."""
        return not {*self.valid(name)}.isdisjoint(other.valid(name))

    def secret(self, name: str) -> str:
        """Return the secret, or raise AccountsError naming the account and the secret."""
        value = self.secrets.get(name, "")
        if not value:
            message = f"account {self.provider}/{self.account} has no secret {name!r}"
            raise AccountsError(message)
        return value


class Accounts:
    """All accounts, found by name or by address. Immutable once made."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        """Index `accounts`; raises AccountsError for a name or an address given twice."""
        self._named: dict[tuple[str, str], Account] = {}
        self._addressed: dict[tuple[str, str], Account] = {}
        self._addresses: set[tuple[Channel, str]] = set()
        for account in accounts:
            _insert(self._named, (account.provider, account.account), account, "name")
            _insert(self._addressed, (account.provider, account.address), account, "address")
            self._addresses.add((account.channel, account.address))

    @classmethod
    def load(cls, path: Path, provider_api_base: str | None = None, read: Read = read_file) -> Self:
        """Read the file; with `provider_api_base` every sending API is `<provider_api_base>/<provider>`.

        `read` gives the bytes of the file and of those its secrets are in. Raises AccountsError, which
        names the file, the entry and the field.
        """
        accounts = []
        for number, entry in enumerate(_entries(path, read), start=1):
            account = _account(entry, path, f"{path}: entry {number}", read)
            if provider_api_base:
                base = f"{provider_api_base.rstrip('/')}/{account.provider}"
                account = account.model_copy(update={"api_base": base})
            accounts.append(account)
        try:
            return cls(accounts)
        except AccountsError as error:
            message = f"{path}: {error}"
            raise AccountsError(message) from None

    def __iter__(self) -> Iterator[Account]:
        return iter(self._named.values())

    def find(self, provider: str, account: str) -> Account | None:
        """Return the account of that name."""
        return self._named.get((provider, account))

    def by_address(self, provider: str, address: str) -> Account | None:
        """Return the provider's account that has this (normalised) address."""
        return self._addressed.get((provider, address))

    def is_ours(self, channel: Channel, address: str) -> bool:
        """Tell whether the (normalised) address is one of ours on the channel, at any provider."""
        return (channel, address) in self._addresses


def _entries(path: Path, read: Read) -> list[Any]:
    try:
        document = yaml.safe_load(read(path).decode())
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise AccountsError(message) from None
    except UnicodeDecodeError:
        message = f"{path}: not UTF-8"
        raise AccountsError(message) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        message = f"{path}: not YAML" + (f" (line {mark.line + 1})" if mark else "")
        raise AccountsError(message) from None
    entries = document.get("accounts") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        message = f"{path}: needs a list `accounts:`"
        raise AccountsError(message)
    return entries


def _account(entry: object, path: Path, where: str, read: Read) -> Account:
    if isinstance(entry, dict) and entry.get("provider") and entry.get("account"):
        where = f"{where} ({entry['provider']}/{entry['account']})"
    try:
        account = Account.model_validate(_with_secrets(entry, path.parent, read))
    except BadSecret as error:
        message = f"{where}: {error}"
        raise AccountsError(message) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the entry"
        hint = "must be a quoted string" if first["type"] == "string_type" else first["msg"]
        message = f"{where}: {field}: {hint}"
        raise AccountsError(message) from None
    return _with_normal_address(account, where)


def _with_secrets(entry: object, directory: Path, read: Read) -> object:
    """Return the entry with the values of its secrets in place of where they are. Raises BadSecret."""
    if not isinstance(entry, dict):
        return entry
    if "former" in entry:
        raise BadSecret("former: values that are valid too are a list under `secrets`")
    given = entry.get("secrets")
    if not isinstance(given, dict):
        return entry
    found = {name: values(f"secrets.{name}", secret, directory, read) for name, secret in given.items()}
    newest = {name: of_one[0] for name, of_one in found.items()}
    return {**entry, "secrets": newest, "former": {name: of_one[1:] for name, of_one in found.items()}}


def _with_normal_address(account: Account, where: str) -> Account:
    if account.channel in _PHONE_CHANNELS:
        kind = "phone"
    elif account.channel is Channel.EMAIL:
        kind = "email"
    else:
        return account
    try:
        address = normalise(kind, account.address, account.region)
    except InvalidIdentifier as error:
        message = f"{where}: address: {error}"
        raise AccountsError(message) from None
    return account.model_copy(update={"address": address})


def _insert(index: dict[tuple[str, str], Account], key: tuple[str, str], account: Account, what: str) -> None:
    if key in index:
        message = f"two accounts of provider {key[0]} have the {what} {key[1]!r}"
        raise AccountsError(message)
    index[key] = account
