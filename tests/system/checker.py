"""What must hold after any run, judged from outside: the public API, the topics, what providers were sent.

`faults(evidence)` is pure. Each check is a function in `CHECKS`; a fault is a sentence that names what is
wrong. The checks of routing allow for what decisions alone do not show: a newer request of a Conversation
ends what it held before without a decision of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas.common import Channel, ChannelClass, channel_class
from schemas.conversations import Status
from schemas.routing import (
    Capacity,
    RoutingGranted,
    RoutingOffered,
    RoutingRefused,
    RoutingReleased,
    RoutingUnassigned,
)

Json = Mapping[str, Any]
_ROUNDING = timedelta(milliseconds=2)
"""Times are shown in milliseconds."""
_SENT = {"sent", "delivered", "read"}


@dataclass(frozen=True, slots=True)
class Wrote:
    """A Customer's message whose webhook was answered 2xx. `text` is unlike all others."""

    sender: str
    text: str
    tried_at: datetime
    answered_at: datetime
    provider_at: datetime | None = None
    """The time in the webhook, where its provider gives one."""


@dataclass(frozen=True, slots=True)
class Replied:
    """A reply that the API accepted. `text` is unlike all others."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was asked of the system, and all it shows."""

    wrote: Sequence[Wrote] = ()
    replied: Sequence[Replied] = ()
    customers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Ids of the Customers known by each sender."""
    timelines: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """By Customer, newest first."""
    conversations: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """By Customer."""
    sent: Sequence[Json] = ()
    decisions: Sequence[Any] = ()
    """All records of `routing.decisions`."""
    events: Sequence[Any] = ()
    """All records of `conversations.events`."""
    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    set_aside: Sequence[str] = ()
    """Whatever stands in the dead-letter and quarantine topics, in words."""


def faults(evidence: Evidence) -> list[str]:
    """Return everything that is wrong; nothing in a run that was exact."""
    return [fault for check in CHECKS for fault in check(evidence)]


# --- messages -----------------------------------------------------------------------------------


def one_customer(evidence: Evidence) -> Iterator[str]:
    """One identifier is one Customer's."""
    for sender in {wrote.sender for wrote in evidence.wrote}:
        count = len(evidence.customers.get(sender, ()))
        if count != 1:
            yield f"{sender} is known as {count} Customers"


def shown_once(evidence: Evidence) -> Iterator[str]:
    """A webhook answered 2xx is on its sender's timeline once; nothing else is."""
    for sender, of_sender in _by_sender(evidence).items():
        shown = Counter(item["text"] for item in _messages(evidence, sender) if item["direction"] == "inbound")
        for wrote in of_sender:
            if shown[wrote.text] != 1:
                yield f"{wrote.text!r} of {sender} is on the timeline {shown[wrote.text]} times"
        for text in shown.keys() - {wrote.text for wrote in of_sender}:
            yield f"{text!r} is on the timeline of {sender}, who never wrote it"


def in_provider_order(evidence: Evidence) -> Iterator[str]:
    """Timelines run from the newest to the oldest provider's time, and show that time."""
    for customer, items in evidence.timelines.items():
        times = [_time(item["at"]) for item in items]
        if times != sorted(times, reverse=True):
            yield f"the timeline of {customer} is not in the order of its times"
    for sender, of_sender in _by_sender(evidence).items():
        shown = {item["text"]: _time(item["at"]) for item in _messages(evidence, sender)}
        for wrote in of_sender:
            at = shown.get(wrote.text)
            first = wrote.provider_at or wrote.tried_at
            last = wrote.provider_at or wrote.answered_at
            if at is not None and not first - _ROUNDING <= at <= last + _ROUNDING:
                yield f"{wrote.text!r} of {sender} is shown at {at}, not between {first} and {last}"


def sent_once(evidence: Evidence) -> Iterator[str]:
    """A reply is with its provider once; where that is unknown it says so."""
    requests = Counter(entry["text"] for entry in evidence.sent)
    items = {item["id"]: item for timeline in evidence.timelines.values() for item in timeline}
    for replied in evidence.replied:
        count, item = requests[replied.text], items.get(replied.message_id)
        if item is None:
            yield f"the reply {replied.text!r} is on no timeline"
        elif count > 1:
            yield f"the reply {replied.text!r} was sent {count} times"
        elif item["status"] in _SENT and count != 1:
            yield f"the reply {replied.text!r} is {item['status']}, and was never sent"
        elif item["status"] == "failed" and count:
            yield f"the reply {replied.text!r} is failed, and was sent"
        elif item["status"] not in _SENT | {"failed", "unknown"}:
            yield f"the reply {replied.text!r} is still {item['status']}"
    accepted = {replied.text for replied in evidence.replied}
    for text in requests.keys() - accepted:
        yield f"{text!r} was sent, and nobody replied so"


# --- Conversations ------------------------------------------------------------------------------


def one_open(evidence: Evidence) -> Iterator[str]:
    """At most one Conversation of a Customer is not closed: now, and at any time in the log of events."""
    for customer, conversations in evidence.conversations.items():
        live = [each["id"] for each in conversations if each["status"] != "closed"]
        if len(live) > 1:
            yield f"{customer} has {len(live)} Conversations that are not closed: {', '.join(live)}"
    for customer, events in _threads(evidence).items():
        open_ones: set[str] = set()
        for event in events:
            if event.data.status is Status.CLOSED:
                open_ones.discard(event.data.conversation_id)
            else:
                open_ones.add(event.data.conversation_id)
            if len(open_ones) > 1:
                yield f"{customer} has {len(open_ones)} Conversations that are not closed at event {event.seq}"
                break


def numbered_events(evidence: Evidence) -> Iterator[str]:
    """A thread's events are numbered without a gap, and no number has two contents."""
    for customer, events in _threads(evidence).items():
        numbers = [event.seq for event in events]
        if len(set(numbers)) != len(numbers):
            yield f"two events of {customer} share a number"
        elif numbers != list(range(1, len(numbers) + 1)):
            yield f"the events of {customer} are not numbered from 1 without a gap: {numbers}"


# --- routing ------------------------------------------------------------------------------------


def decided_by_one(evidence: Evidence) -> Iterator[str]:
    """No two decisions of a pool share a number: only one owner decides."""
    seen: dict[tuple[str, int], Any] = {}
    for decision in evidence.decisions:
        known = seen.setdefault((decision.data.pool, decision.data.n), decision)
        if known != decision:
            yield f"two decisions of pool {decision.data.pool} have number {decision.data.n}"


def offered_to_one(evidence: Evidence) -> Iterator[str]:
    """A Conversation is offered to one Agent at a time, and never while one has it."""
    asked: dict[str, Any] = {}
    for decision in _decisions(evidence):
        conversation, before = decision.data.conversation_id, asked.get(decision.data.conversation_id)
        if isinstance(decision, RoutingOffered):
            if before is not None and before.data.epoch == decision.data.epoch:
                yield f"{conversation} is offered to {decision.data.agent} while {before.data.agent} is asked"
            asked[conversation] = decision
        elif before is not None and decision.data.epoch >= before.data.epoch:
            del asked[conversation]


def within_capacity(evidence: Evidence) -> Iterator[str]:
    """No Agent has more Conversations than room, unless by force."""
    decisions = list(_decisions(evidence))
    ends = _silent_ends(decisions)
    kinds = _classes(evidence)
    held: dict[str, RoutingGranted] = {}
    for number, decision in enumerate(decisions):
        conversation = decision.data.conversation_id
        if isinstance(decision, RoutingGranted):
            held[conversation] = decision
            mine = [each for each in held if held[each].data.agent == decision.data.agent]
            if not decision.data.forced:
                yield from _over(evidence, decision, mine, kinds)
            if number in ends:
                del held[conversation]
        elif _ends(decision, held.get(conversation)):
            del held[conversation]


def _over(
    evidence: Evidence, granted: RoutingGranted, mine: Sequence[str], kinds: Mapping[str, set[ChannelClass]]
) -> Iterator[str]:
    agent, where = granted.data.agent, f"at decision {granted.data.n} of pool {granted.data.pool}"
    capacity = evidence.capacities.get(agent, Capacity())
    if len(mine) > capacity.total:
        yield f"{agent} has {len(mine)} of {capacity.total} Conversations {where}"
    for kind in ChannelClass:
        count = sum(kinds.get(each) == {kind} for each in mine)
        if count > getattr(capacity, kind):
            yield f"{agent} has {count} of {getattr(capacity, kind)} {kind} Conversations {where}"


def _ends(decision: Any, granted: RoutingGranted | None) -> bool:
    if granted is None:
        return False
    if isinstance(decision, RoutingUnassigned):
        return bool(decision.data.agent == granted.data.agent)
    return isinstance(decision, RoutingReleased) and decision.data.epoch >= granted.data.epoch


def _silent_ends(decisions: Sequence[Any]) -> set[int]:
    """Return which grants a newer request ends without a decision: how long they lasted is not known."""
    silent, last = set(), dict[str, int]()
    for number, decision in enumerate(decisions):
        conversation = decision.data.conversation_id
        granted = last.get(conversation)
        if granted is not None:
            before = decisions[granted]
            newer = decision.data.epoch > before.data.epoch and not isinstance(decision, RoutingRefused)
            if newer and not _ends(decision, before):
                silent.add(granted)
                del last[conversation]
            elif _ends(decision, before):
                del last[conversation]
        if isinstance(decision, RoutingGranted):
            last[conversation] = number
    return silent


def _classes(evidence: Evidence) -> dict[str, set[ChannelClass]]:
    kinds: dict[str, set[ChannelClass]] = defaultdict(set)
    for conversations in evidence.conversations.values():
        for each in conversations:
            kinds[each["id"]] |= {channel_class(Channel(contact["channel"])) for contact in each["contacts"]}
    return kinds


def nothing_set_aside(evidence: Evidence) -> Iterator[str]:
    """No record was given up on."""
    yield from evidence.set_aside


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    one_customer,
    shown_once,
    in_provider_order,
    sent_once,
    one_open,
    numbered_events,
    decided_by_one,
    offered_to_one,
    within_capacity,
    nothing_set_aside,
)


def _by_sender(evidence: Evidence) -> dict[str, list[Wrote]]:
    found: dict[str, list[Wrote]] = defaultdict(list)
    for wrote in evidence.wrote:
        found[wrote.sender].append(wrote)
    return found


def _messages(evidence: Evidence, sender: str) -> list[Json]:
    customers = evidence.customers.get(sender, ())
    items = [item for customer in customers for item in evidence.timelines.get(customer, ())]
    return [item for item in items if item["kind"] == "message"]


def _threads(evidence: Evidence) -> dict[str, list[Any]]:
    """Return each Customer's events in order; one that was published twice is one."""
    found: dict[str, dict[Any, Any]] = defaultdict(dict)
    for event in evidence.events:
        found[event.customer_id].setdefault(event.id, event)
    return {
        customer: sorted(events.values(), key=lambda event: int(event.seq)) for customer, events in found.items()
    }


def _decisions(evidence: Evidence) -> list[Any]:
    """Return all decisions in order; one that was published twice is one."""
    unique = {decision.id: decision for decision in evidence.decisions}
    return sorted(unique.values(), key=lambda decision: (decision.data.pool, decision.data.n))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
