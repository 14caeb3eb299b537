"""What became of every webhook, by asking the public API."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

import httpx

from deploy.local.demo.day import Breaks, Forges, Reacts, Reads, Repeats, Reports, Sends, Types, Writes
from deploy.local.demo.desk import Desk, Json, eventually
from deploy.local.demo.played import Played, Posted, Replied
from deploy.local.stack import Stack

SETTLED_SECONDS = 30.0
SENT = frozenset({"sent", "delivered", "read"})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_ACCEPTABLE})


class Became(StrEnum):
    """The fate of one webhook."""

    MESSAGE = "message"
    """On the timeline, once."""
    DUPLICATE = "duplicate"
    """Taken again; the timeline shows its message once."""
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    RECEIPT = "receipt"
    """A status, or a visitor has read; no message of its own."""
    SIGNAL = "signal"
    """A visitor types."""
    LOST = "LOST"
    """Answered 2xx, and not on the timeline, or without its picture."""
    DOUBLED = "DOUBLED"
    """More than once on the timeline."""
    WRONG = "WRONG ANSWER"
    """Taken where it must be refused, or the other way round."""


@dataclass(frozen=True, slots=True)
class Fate:
    """One webhook, what became of it, and where its message is."""

    posted: Posted
    became: Became
    message: Json | None = None
    agent: str = ""

    @property
    def as_it_should(self) -> bool:
        """Whether that is what the day asks for."""
        return self.became not in {Became.LOST, Became.DOUBLED, Became.WRONG}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answer of an Agent's, and how far it got."""

    replied: Replied
    message: Json | None

    @property
    def as_it_should(self) -> bool:
        """Whether it came to what the day says, and templates are offered where only they may be sent."""
        event = self.replied.event
        if event.refused:
            offered = bool(self.replied.offers) is (event.refused == "outside-window")
            return self.replied.problem == event.refused and offered
        return self.status in ({event.ends} if event.ends else SENT)

    @property
    def status(self) -> str:
        """How far it got; empty where nothing was sent."""
        return str(self.message["status"]) if self.message else ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The whole day's."""

    fates: list[Fate]
    deliveries: list[Delivery]

    @property
    def good(self) -> bool:
        """Whether everything became what it should."""
        fates = all(fate.as_it_should for fate in self.fates)
        return fates and all(delivery.as_it_should for delivery in self.deliveries)


async def outcome(stack: Stack, http: httpx.AsyncClient, played: Played) -> Outcome:
    """Look until all is as it should be, or the time is up."""
    desk = Desk(stack, http)

    async def look() -> Outcome:
        timelines = {who: await _timeline(desk, played, who) for who in played.identifiers}
        everything = [item for items in timelines.values() for item in items]
        agents: dict[str, str] = {}
        fates = []
        for posted in played.posted:
            became, message = judge(posted, timelines.get(posted.who, []))
            conversation = str(message["conversation_id"]) if message else ""
            if conversation and conversation not in agents:
                agents[conversation] = await desk.agent_of(conversation)
            fates.append(Fate(posted, became, message, agents.get(conversation, "")))
        return Outcome(
            fates, [Delivery(each, _named(everything, each.message_id)) for each in played.replied]
        )

    return await eventually(look, lambda found: found.good, SETTLED_SECONDS, poll=0.5)


async def _timeline(desk: Desk, played: Played, who: str) -> list[Json]:
    customer = await desk.customer(played.identifiers[who])
    return await desk.timeline(customer, played.started) if customer else []


def _named(items: Iterable[Json], message_id: str) -> Json | None:
    return next((item for item in items if item["id"] == message_id), None)


def judge(posted: Posted, timeline: list[Json]) -> tuple[Became, Json | None]:
    """Return what became of one webhook, and its message on the sender's `timeline`."""
    refused = posted.status in _REFUSED
    if isinstance(posted.event, Forges) or refused:
        return (Became.REFUSED if refused and isinstance(posted.event, Forges) else Became.WRONG), None
    if not HTTPStatus.OK <= posted.status < HTTPStatus.MULTIPLE_CHOICES:
        return Became.WRONG, None
    wordless = _wordless(posted)
    if wordless is not None:
        return wordless, None
    found = [item for item in timeline if _is(posted, item)]
    if len(found) != 1:
        return (Became.DOUBLED if found else Became.LOST), found[0] if found else None
    return (Became.DUPLICATE if isinstance(posted.event, Repeats) else Became.MESSAGE), found[0]


def _wordless(posted: Posted) -> Became | None:
    """Return what became of one that no timeline shows."""
    match posted.event:
        case Breaks():
            return Became.QUARANTINED if posted.quarantined else Became.LOST
        case Types():
            return Became.SIGNAL
        case Reports() | Reads():
            return Became.RECEIPT
    return None


def _is(posted: Posted, item: Json) -> bool:
    if item["direction"] != "inbound" or item["channel"] != posted.channel:
        return False
    text = str(item["text"] or "").strip()
    if isinstance(posted.event, Writes) and posted.event.picture and not _has_file(item):
        return False
    if isinstance(posted.event, Sends | Reacts):
        return posted.shows in text
    return text == posted.shows


def _has_file(item: Json) -> bool:
    files = item["attachments"]
    return bool(files) and all(file["status"] == "stored" for file in files)
