"""What this replica has learnt of an account from its provider's answers: at work, resting or paused.

A provider that refuses the account itself refuses every message of it. They wait, and after a pause that
doubles one of them is a probe. A message that is refused so time and again while others are taken in between
is at fault itself, whatever the provider says.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.chassis.accounts import Account
from services.notifier.pace import Pace

_MOST_STRIKES = 2


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """How long an account that was refused is left alone."""

    first: timedelta
    most: timedelta


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when the provider refuses the account, why, and when it is tried again."""

    since: datetime
    code: str
    probe_at: datetime
    probes: int = 0

    def prolonged(self, now: datetime, rules: ProbeRules, code: str) -> "Pause":
        """Return the pause after one more probe in vain."""
        probes = self.probes + 1
        wait = min(rules.most, rules.first * 2 ** min(probes, 20))
        return replace(self, code=code, probe_at=now + wait, probes=probes)


@dataclass
class Standing:
    """One account."""

    account: Account
    pace: Pace
    rules: ProbeRules
    resting_until: datetime | None = None
    """The provider takes nothing from the account before."""
    pause: Pause | None = None
    _probe: str | None = None
    """The message that tries a paused account now."""
    _suspects: set[str] = field(default_factory=set)
    """Refused since the pause began."""
    _strikes: Counter[str] = field(default_factory=Counter)
    """How often a message was refused while another one was taken."""

    def may_ask(self, now: datetime, out: int) -> bool:
        """Tell whether one more request may be made now, while `out` are."""
        if self.resting_until is not None and now < self.resting_until:
            return False
        if self.pause is not None and (out or now < self.pause.probe_at):
            return False
        return self.pace.may_ask()

    def ask(self, message_id: str) -> None:
        """A request for the message is made now."""
        if self.pause is not None:
            self._probe = message_id
        self.pace.ask()

    def rest(self, until: datetime) -> None:
        """The provider takes nothing until then."""
        self.resting_until = until

    def served(self, message_id: str) -> None:
        """The provider took the message: the account works."""
        del self._strikes[message_id]
        if self.pause is not None and self._probe == message_id:
            self._strikes.update(self._suspects - {message_id})
            self._suspects.clear()
            self.pause = self._probe = None

    def refused(self, message_id: str, code: str, now: datetime, *, waits: bool = True) -> bool:
        """The provider refused the account; return whether the message is to wait for that to change.

        `waits`: it may, since nothing of it was taken.
        """
        if self._strikes[message_id] >= _MOST_STRIKES:
            self.unsaid(message_id, now)
            del self._strikes[message_id]
            return False
        if waits:
            self._suspects.add(message_id)
        if self.pause is None:
            self.pause = Pause(now, code, now + self.rules.first)
        elif self._probe == message_id:
            self._prolong(now, code)
        return waits

    def passed(self, message_id: str) -> None:
        """The message itself was refused, perhaps before the provider was asked: another may be the probe."""
        if self._probe == message_id:
            self._probe = None

    def unsaid(self, message_id: str, now: datetime) -> None:
        """Nothing was learnt about the account."""
        if self.pause is not None and self._probe == message_id:
            self._prolong(now, self.pause.code)

    def _prolong(self, now: datetime, code: str) -> None:
        if self.pause is not None:
            self.pause = self.pause.prolonged(now, self.rules, code)
        self._probe = None
