"""All accounts that are sent from, and what this replica has learnt of each."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from services.chassis.accounts import Account
from services.chassis.logging import log
from services.notifier import metrics
from services.notifier.channels import Refused, Retry, Sent, Unknown
from services.notifier.channels.sending import RateLimit
from services.notifier.domain import source_of
from services.notifier.pace import Pace, limit_of
from services.notifier.standing import ProbeRules, Standing


class Standings:
    """Accounts by name (`provider/account`)."""

    def __init__(
        self,
        rules: ProbeRules,
        limit: Callable[[str], RateLimit | None],
        wake: Callable[[Iterable[str]], None],
    ) -> None:
        """`wake` is told of accounts from which a request may be made that could not be made before."""
        self._rules, self._limit, self._wake = rules, limit, wake
        self._all: dict[str, Standing] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def get(self, source: str) -> Standing | None:
        """Return what is known of the account, if it is sent from."""
        return self._all.get(source)

    def values(self) -> list[Standing]:
        """Return what is known of each account."""
        return list(self._all.values())

    def broken(self, source: str) -> str | None:
        """Return the provider's code when it refuses the account."""
        standing = self._all.get(source)
        return standing.pause.code if standing is not None and standing.pause is not None else None

    def learn(self, accounts: Iterable[Account]) -> None:
        """Send from these from now on; a changed one is tried at once, whatever was wrong with it."""
        gone, self._all = self._all, {}
        for account in accounts:
            source = source_of(account.provider, account.account)
            self._all[source] = self._renewed(source, account, gone.pop(source, None))
        for standing in gone.values():
            standing.pace.close()
            metrics.ACCOUNT_PAUSED.remove(standing.account.provider, standing.account.account)
        self._wake([*gone, *self._all])

    def _renewed(self, source: str, account: Account, known: Standing | None) -> Standing:
        if known is not None and known.account == account:
            return known
        # what alerts watch is shown at zero: a counter that is born at 1 shows no increase
        metrics.UNKNOWN.labels(account.provider)
        metrics.ACCOUNT_PAUSED.labels(account.provider, account.account).set(0)
        limit = limit_of(account, self._limit(account.provider))
        if known is not None and known.pace.limit == limit:
            pace = known.pace
        else:
            pace = Pace(limit, lambda: self._wake([source]))
            if known is not None:
                known.pace.close()
        return Standing(account, pace, self._rules, known.resting_until if known is not None else None)

    def learn_from(
        self, outcome: Sent | Refused | Retry | Unknown, message_id: str, standing: Standing, now: datetime
    ) -> bool:
        """Take in what a request says of its account; return whether the message waits for it."""
        before, held = standing.pause, False
        match outcome:
            case Refused(kind="account_broken"):
                held = standing.refused(message_id, outcome.code, now, waits=not outcome.partly)
            case Sent():
                standing.served(message_id)
            case Refused():
                standing.passed(message_id)
            case _:
                standing.unsaid(message_id, now)
        account = standing.account
        current = self._all.get(source_of(account.provider, account.account)) is standing
        if current and (before is None) != (standing.pause is None):
            paused = standing.pause is not None
            metrics.ACCOUNT_PAUSED.labels(account.provider, account.account).set(paused)
            log.warning(
                "account_paused" if paused else "account_resumed",
                provider=account.provider,
                account=account.account,
                code=standing.pause.code if standing.pause is not None else None,
            )
        return held

    def close(self) -> None:
        """Wait for no turn any more."""
        for standing in self._all.values():
            standing.pace.close()
