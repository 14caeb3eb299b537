"""What the simulated providers were asked to send, newest last, within bounds."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from schemas.envelope import rfc3339
from services.chassis.accounts import Account

LIMIT = 100_000

Entry = dict[str, str]
"""`provider`, `account`, `from`, `to`, `text`, `provider_message_id`, `at` and what the provider adds."""


class Sent:
    """The last messages accepted; older ones are forgotten."""

    def __init__(self, limit: int = LIMIT, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._now = now

    def add(
        self, account: Account, *, to: str, text: str, provider_message_id: str, sender: str = "", **more: str
    ) -> None:
        """Remember one message of `account`; `more` is what the provider adds."""
        entry = {"provider": account.provider, "account": account.account}
        entry |= {"from": sender or account.address, "to": to, "text": text}
        entry |= {"provider_message_id": provider_message_id, "at": rfc3339(self._now())}
        self._entries.append(entry | {name: value for name, value in more.items() if value})

    def entries(self) -> list[Entry]:
        """Return them, oldest first."""
        return list(self._entries)

    def forget(self) -> None:
        """Empty the list."""
        self._entries.clear()
