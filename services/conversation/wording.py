"""What is to be known of our accounts: what they say by themselves, and where one can write from.

Read from the accounts file, of which conversation needs no secret; it looks at nothing but these fields.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, StrictStr, ValidationError

from schemas.common import Channel
from services.chassis.accounts import AccountsError
from services.chassis.logging import log
from services.chassis.templates import Template, distinct
from services.conversation.domain.reach import Ours


class Wording(BaseModel):
    """Of one account; see services.chassis.accounts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    provider: StrictStr = ""
    account: StrictStr = ""
    channel: StrictStr = ""
    inbox: StrictStr = ""
    templates: Annotated[tuple[Template, ...], AfterValidator(distinct)] = ()
    help_text: StrictStr | None = None


_NONE = Wording()
ByAccount = Mapping[tuple[str, str], Wording]


class Wordings:
    """Those of all accounts, as the file has them now."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises AccountsError."""
        self._path = path
        self._content = _read(path)
        self._known = _parse(path, self._content)

    def of(self, provider: str, account: str) -> Wording:
        """Return the account's; an empty one for an account that is not there."""
        return self._known.get((provider, account), _NONE)

    def accounts(self) -> tuple[Ours, ...]:
        """Return the accounts that can write, in the order of the file."""
        return tuple(
            Ours(each.provider, each.account, Channel(each.channel), each.inbox)
            for each in self._known.values()
            if each.channel in set(Channel)
        )

    def help_text(self, provider: str, account: str) -> str | None:
        """Return what HELP is answered with."""
        return self.of(provider, account).help_text

    async def look(self) -> None:
        """Take over a changed file; one that cannot be used changes nothing."""
        try:
            content = await asyncio.to_thread(_read, self._path)
            if content != self._content:
                self._content = content  # one that cannot be used is told of once
                self._known = await asyncio.to_thread(_parse, self._path, content)
        except AccountsError as error:
            log.warning("accounts_not_taken_over", error=str(error))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise AccountsError(message) from None


def _parse(path: Path, content: bytes) -> ByAccount:
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        message = f"{path}: not YAML"
        raise AccountsError(message) from None
    entries = document.get("accounts") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        message = f"{path}: needs a list `accounts:`"
        raise AccountsError(message)
    wordings = [_wording(f"{path}: entry {number}", entry) for number, entry in enumerate(entries, start=1)]
    return {(each.provider, each.account): each for each in wordings}


def _wording(where: str, entry: object) -> Wording:
    try:
        return Wording.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = f"{where}: {'.'.join(map(str, first['loc'])) or 'the entry'}: {first['msg']}"
        raise AccountsError(message) from None
