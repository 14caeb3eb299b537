"""How a Customer can be written to first: by what they are known, and where we have an account.

A Customer who has written on a channel is answered there (`Thread.routes`). Phone numbers and mail addresses
can be written to without that; the providers of the other channels name people only by what they wrote, and
each to the account they wrote to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.common import Channel, Identifier, IdentifierKind
from services.conversation.domain.model import Route

ORDER = (
    Channel.SMS,
    Channel.EMAIL,
    Channel.WHATSAPP,
    Channel.TELEGRAM,
    Channel.LINE,
    Channel.MESSENGER,
    Channel.INSTAGRAM,
)
"""In which channels are tried when none is named: those first that take free text from us."""
_PLAIN = {Channel.SMS: IdentifierKind.PHONE, Channel.EMAIL: IdentifierKind.EMAIL}
_AFTER_THEIRS = {
    Channel.TELEGRAM: IdentifierKind.TELEGRAM,
    Channel.LINE: IdentifierKind.LINE,
    Channel.MESSENGER: IdentifierKind.MESSENGER,
    Channel.INSTAGRAM: IdentifierKind.INSTAGRAM,
}
"""Their providers give a person's id to whom the person wrote; one that nobody vouches for leads nowhere."""


@dataclass(frozen=True, slots=True)
class Ours:
    """An account of ours that can write on `channel`."""

    provider: str
    account: str
    channel: Channel
    inbox: str

    def is_at(self, route: Route) -> bool:
        """Tell whether the route leads through this account."""
        return (self.provider, self.account) == (route.provider, route.account)


@dataclass(frozen=True, slots=True)
class Address:
    """An identifier, and the Customer whose it is: after a merge one of several."""

    identifier: Identifier
    home: str = ""

    def at_whatsapp(self) -> "Address":
        """Return how WhatsApp names the phone number."""
        number = self.identifier.value.removeprefix("+")
        update = {"kind": IdentifierKind.WHATSAPP, "value": number}
        return Address(self.identifier.model_copy(update=update), self.home)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a first message can go by."""

    addresses: tuple[Address, ...] = ()
    """Of the Customer, the newest last."""
    accounts: tuple[Ours, ...] = ()

    def address(self, channel: Channel) -> Address | None:
        """Return the Customer's address on the channel: a verified one before others, then the newest."""
        if channel is Channel.WHATSAPP:
            return self._whatsapp()
        if channel in _PLAIN:
            return self._best(_PLAIN[channel])
        kind = _AFTER_THEIRS.get(channel)
        return self._best(kind, verified=True) if kind else None

    def _whatsapp(self) -> Address | None:
        if known := self._best(IdentifierKind.WHATSAPP):
            return known
        phone = self._best(IdentifierKind.PHONE)
        return phone.at_whatsapp() if phone else None

    def _best(self, kind: IdentifierKind, *, verified: bool = False) -> Address | None:
        of_kind = [each for each in reversed(self.addresses) if each.identifier.kind is kind]
        proven = next((each for each in of_kind if each.identifier.verified), None)
        return proven or (None if verified else next(iter(of_kind), None))

    def account(self, channel: Channel, inboxes: Sequence[str]) -> Ours | None:
        """Return an account of the channel: of the first of these Inboxes that has one, else any."""
        of_channel = [each for each in self.accounts if each.channel is channel]
        return next(
            (each for inbox in inboxes for each in of_channel if each.inbox == inbox),
            next(iter(of_channel), None),
        )

    def route(
        self, channel: Channel, inboxes: Sequence[str], at: datetime, correlation: UUID
    ) -> Route | None:
        """Return how to write to the Customer on `channel`, None where there is no way."""
        address, account = self.address(channel), self.account(channel, inboxes)
        if address is None or account is None:
            return None
        return Route(
            channel,
            account.provider,
            account.account,
            address.identifier,
            at,
            correlation,
            home=address.home,
        )

    def channels(self, candidates: Iterable[Channel] = ORDER) -> list[Channel]:
        """Return those on which there are both an address and an account, in the order given."""
        return [each for each in candidates if self.address(each) and self.account(each, ())]


NOWHERE = Reach()
