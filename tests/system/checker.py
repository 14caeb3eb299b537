"""What must hold after any run, judged from outside: the public API, the topics, what providers were sent.

`faults(evidence)` is pure. Each check is a function in `CHECKS`; a fault is a sentence that names what is
wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from schemas.conversations import Status
from tests.system.evidence import Evidence, Json, Wrote
from tests.system.routed import decided_by_one, offered_to_one, within_capacity

_ROUNDING = timedelta(milliseconds=2)
"""Times are shown in milliseconds."""
_SENT = {"sent", "delivered", "read"}


def faults(evidence: Evidence) -> list[str]:
    """Return everything that is wrong; nothing in a run that was exact."""
    return [fault for check in CHECKS for fault in check(evidence)]


# --- messages -----------------------------------------------------------------------------------


def one_customer(evidence: Evidence) -> Iterator[str]:
    """One identifier is one Customer's."""
    for sender, of_sender in _by_sender(evidence).items():
        count = len(evidence.customers.get(sender, ()))
        if count > 1 or count < bool(of_sender):
            yield f"{sender} is known as {count} Customers"


def shown_once(evidence: Evidence) -> Iterator[str]:
    """A webhook answered 2xx is on its sender's timeline once; nothing else is."""
    for sender, of_sender in _by_sender(evidence).items():
        shown = Counter(
            item["text"] for item in _messages(evidence, sender) if item["direction"] == "inbound"
        )
        for wrote in of_sender:
            if shown[wrote.text] != 1:
                yield f"{wrote.text!r} of {sender} is on the timeline {shown[wrote.text]} times"
        for text in shown.keys() - {wrote.text for wrote in of_sender}:
            if text not in evidence.unanswered:
                yield f"{text!r} is on the timeline of {sender}, who never wrote it"
            elif shown[text] > 1:
                yield f"{text!r} of {sender} is on the timeline {shown[text]} times"


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


def in_writing_order(evidence: Evidence) -> Iterator[str]:
    """Who waits for each answer before writing on, is shown in that order, within one second too.

    Where only one of two messages bears its provider's time, which has whole seconds, nothing follows.
    """
    for sender, of_sender in _by_sender(evidence).items():
        places = {item["text"]: place for place, item in enumerate(_messages(evidence, sender))}
        shown = sorted((one for one in of_sender if one.text in places), key=lambda one: one.tried_at)
        for earlier, later in pairwise(shown):
            alike = (earlier.provider_at is None) == (later.provider_at is None)
            if alike and earlier.answered_at < later.tried_at and places[earlier.text] < places[later.text]:
                yield f"{later.text!r} of {sender} is shown before {earlier.text!r}, which was answered first"


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
                count = len(open_ones)
                yield f"{customer} has {count} Conversations that are not closed at event {event.seq}"
                break


def numbered_events(evidence: Evidence) -> Iterator[str]:
    """A thread's events are numbered without a gap, and no number has two contents."""
    for customer, events in _threads(evidence).items():
        numbers = [event.seq for event in events]
        if len(set(numbers)) != len(numbers):
            yield f"two events of {customer} share a number"
        elif numbers != list(range(1, len(numbers) + 1)):
            yield f"the events of {customer} are not numbered from 1 without a gap: {numbers}"


def loads_agree(evidence: Evidence) -> Iterator[str]:
    """At rest the router counts for each Agent what conversation says they have."""
    for agent, load in evidence.loads.items():
        desk = evidence.desks.get(agent, ())
        if load != len(desk):
            yield f"the router counts {load} Conversations of {agent}, who has {len(desk)}"


def nothing_set_aside(evidence: Evidence) -> Iterator[str]:
    """No record was given up on."""
    yield from evidence.set_aside


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    one_customer,
    shown_once,
    in_provider_order,
    in_writing_order,
    sent_once,
    one_open,
    numbered_events,
    decided_by_one,
    offered_to_one,
    within_capacity,
    loads_agree,
    nothing_set_aside,
)


def _by_sender(evidence: Evidence) -> dict[str, list[Wrote]]:
    """Return what was taken of each sender; nothing of those whose webhooks were all refused."""
    found: dict[str, list[Wrote]] = {sender: [] for sender in evidence.customers}
    for wrote in evidence.wrote:
        found.setdefault(wrote.sender, []).append(wrote)
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
        customer: sorted(events.values(), key=lambda event: int(event.seq))
        for customer, events in found.items()
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
