"""What a thread consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from schemas.common import Channel, ChannelClass, Identifier, channel_class
from schemas.conversations import Status
from services.conversation.domain.call import Call
from services.conversation.domain.routed import Routing
from services.conversation.domain.ruled import FRESH, Ruled
from services.conversation.domain.task import Task
from services.conversation.domain.ticket import Ticket, TicketWish

KEPT_COMMANDS = 16
KEPT_CONTACTS = 100


@dataclass(frozen=True, slots=True)
class Contact:
    """One piece of communication on one channel: it starts, and it ends."""

    id: str
    channel: Channel
    account: str
    address: str
    started_at: datetime
    last_at: datetime
    last_ours: bool = False
    """The last message is ours: the Customer does not wait for an answer."""
    answered: bool = False
    ended_at: datetime | None = None
    home: str = ""
    """The Customer who has `address`; "" where it is the one of the thread."""

    @property
    def live(self) -> bool:
        """It has not ended."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything said with a Customer until it is closed."""

    id: str
    customer_id: str
    inbox: str
    status: Status
    routing: Routing
    opened_at: datetime
    updated_at: datetime
    agent: str | None = None
    last_agent: str | None = None
    last_agent_at: datetime | None = None
    """When the last Agent was last at work on it; for the same-agent limit."""
    topics: tuple[str, ...] = ()
    priority: int = 0
    skills: Mapping[str, int] = field(default_factory=dict)
    """Skills with the least level that an Agent must have; what a caller chose asks for them."""
    contacts: tuple[Contact, ...] = ()
    closed_at: datetime | None = None
    confirmed: bool | None = None
    answered: bool = False
    """Somebody of ours answered since it was opened or reopened."""
    ticket: str | None = None
    """Number of the ticket made of it; it has one at most, for ever."""
    ruled: Ruled = FRESH
    home: str = ""
    """The Customer with whom it began; it stays theirs in a merge. Left out, it is `customer_id`."""
    merged_into: str | None = None
    """The Conversation that goes on in its place."""

    def __post_init__(self) -> None:
        """Fill in the home."""
        if not self.home:
            object.__setattr__(self, "home", self.customer_id)

    @property
    def holder(self) -> str | None:
        """The Agent who has it now."""
        return self.agent if self.status is Status.OPEN else None

    @property
    def waits(self) -> bool:
        """It waits for the router to find an Agent."""
        return self.status is Status.NEW

    @property
    def live_contacts(self) -> tuple[Contact, ...]:
        """The Contacts that have not ended."""
        return tuple(contact for contact in self.contacts if contact.live)

    @property
    def classes(self) -> tuple[ChannelClass, ...]:
        """The classes of room its live Contacts take."""
        return tuple(sorted({channel_class(contact.channel) for contact in self.live_contacts}))

    def with_contact(self, contact: Contact) -> "Conversation":
        """Return it with `contact` added, or in place of the one with the same id."""
        if all(known.id != contact.id for known in self.contacts):
            return replace(self, contacts=_kept((*self.contacts, contact)))
        return replace(
            self, contacts=tuple(contact if known.id == contact.id else known for known in self.contacts)
        )


def _kept(contacts: tuple[Contact, ...]) -> tuple[Contact, ...]:
    """Forget the oldest that have ended; the timeline has them all."""
    if len(contacts) <= KEPT_CONTACTS:
        return contacts
    oldest = next((contact for contact in contacts if not contact.live), contacts[0])
    return tuple(contact for contact in contacts if contact is not oldest)


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach the Customer on a channel: where their last message there came from."""

    channel: Channel
    provider: str
    account: str
    address: Identifier
    at: datetime
    correlation: UUID
    """That of the message: an answer goes on under it."""
    provider_message_id: str | None = None
    references: tuple[str, ...] = ()
    subject: str | None = None
    home: str = ""
    """The Customer who has `address`."""


@dataclass(frozen=True, slots=True)
class Mailed:
    """A mail of ours, by the ids that an answer to it may name."""

    message_id: UUID
    provider_message_id: str | None = None
    home: str = ""


@dataclass(frozen=True, slots=True)
class Correspondence:
    """When mails went to and came from one address within the last hour."""

    address: str
    received: tuple[datetime, ...] = ()
    sent: tuple[datetime, ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """The latest word on whether we may write."""

    opted_out: bool
    at: datetime
    """The provider's time of the word."""
    source: Literal["customer", "provider"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one of our accounts stands with one address of the Customer."""

    provider: str
    account: str
    address: str
    heard_at: datetime | None = None
    """Provider's time of the Customer's latest own message, where the provider counts from it."""
    helped_at: datetime | None = None
    """When HELP was last answered."""
    consent: Consent | None = None
    home: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A Customer whom another absorbed, and what it takes to part them again."""

    absorbed: str
    into: str
    """Whom it was merged into, who may have been absorbed since."""
    dropped: Conversation | None = None
    """Of two open Conversations the one that ended in the other, as it was."""
    left: Conversation | None = None
    """The survivor's closed Conversation that one of the absorbed took the place of."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A Customer's thread: the unit of writing. One update with a version check changes it.

    After a merge it stands for several Customers, its `homes`, and what belongs to one of them bears their
    id as its `home`, so that an undo knows what goes with whom.
    """

    customer_id: str
    version: int = 0
    seq: int = 0
    """Number of the last event."""
    current: Conversation | None = None
    """The newest Conversation; the only one that may be other than closed."""
    ways: tuple[Route, ...] = ()
    """One a channel and home."""
    calls: tuple[Call, ...] = ()
    """The latest calls, the oldest first: words on them come long after they end."""
    mailed: tuple[Mailed, ...] = ()
    """The last mails of ours."""
    mails: tuple[Correspondence, ...] = ()
    standings: tuple[Standing, ...] = ()
    last_at: datetime | None = None
    """Provider's time of the latest message."""
    tickets: tuple[Ticket, ...] = ()
    """Those that are not resolved."""
    ticket_wishes: tuple[TicketWish, ...] = ()
    """Tickets that rules wish for, to be numbered."""
    tasks: tuple[Task, ...] = ()
    """Those that are not finished."""
    commands: tuple[UUID, ...] = ()
    """The last HTTP commands applied: one that comes again after a crash has had its effect."""
    merged_into: str | None = None
    """The Customer whose thread goes on in its place."""
    links: tuple[Link, ...] = ()
    """The Customers who were absorbed, directly or with others, the earliest first."""
    link_n: int = 0
    """Number of the last merge or undo of this Customer that was applied."""

    @property
    def homes(self) -> tuple[str, ...]:
        """Return all Customers it stands for, its own first."""
        return (self.customer_id, *(link.absorbed for link in self.links))

    @property
    def routes(self) -> Mapping[Channel, Route]:
        """Return the latest route of each channel."""
        return {route.channel: route for route in sorted(self.ways, key=lambda route: route.at)}

    def with_route(self, route: Route) -> "Thread":
        """Return it with `route` in place of the one of the same channel and home."""
        place = (route.channel, route.home)
        others = (known for known in self.ways if (known.channel, known.home) != place)
        return replace(self, ways=(*others, route))

    erased: bool = False
    """The Customer is erased: nothing joins the thread any more."""

    def standing(self, provider: str, account: str, address: str) -> Standing:
        """Return how the account stands with the address; a fresh one where nothing is known."""
        fresh = Standing(provider, account, address)
        return next((each for each in self.standings if _same(each, fresh)), fresh)

    def with_standing(self, standing: Standing) -> "Thread":
        """Return it with `standing` in place of what was known."""
        others = (each for each in self.standings if not _same(each, standing))
        return replace(self, standings=(*others, standing))


def _same(one: Standing, other: Standing) -> bool:
    return (one.address, one.account, one.provider) == (other.address, other.account, other.provider)
