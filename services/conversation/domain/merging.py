"""Two Customers are one, or were not after all: their threads become one, and part again.

Both threads are changed together or not at all. Timeline items and Conversations keep their home and
never move: what the survivor has is that of all its homes. Of two open Conversations the older goes on;
an undo brings each id back to whose it was.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from schemas import ids
from schemas.conversations import ConversationMerged, ConversationSplit, Status
from services.conversation.domain import contacts, routing, tickets
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Contact, Conversation, Link, Thread
from services.conversation.domain.routed import Routing

MOST_TOPICS = 20
_BELONGINGS = ("ways", "calls", "mailed", "mails", "standings", "tickets", "ticket_wishes", "tasks")
"""Fields of a thread whose entries each have a home."""


@dataclass(frozen=True, slots=True)
class Merge:
    """The merge that is applied, or undone."""

    id: str
    survivor: str
    absorbed: str
    n: int
    """How many merges and undos the absorbed Customer has seen, with this one."""
    by: str | None
    reason: str


def merge(into: Draft, gone: Draft, done: Merge) -> None:
    """Let the thread of `into` go on for both; neither stands for the other yet."""
    survivor, absorbed = into.thread, gone.thread
    ours, theirs = _current(survivor), _current(absorbed)
    kept, dropped, left = _settle(ours, theirs)
    seq = max(survivor.seq, absorbed.seq)
    link = Link(absorbed.customer_id, done.survivor, _idle(dropped) if dropped else None, left)
    joined: dict[str, Any] = {name: _joined(survivor, absorbed, name) for name in _BELONGINGS}
    into.thread = replace(
        survivor,
        seq=seq,
        current=kept if kept is ours else None,
        links=(*survivor.links, *absorbed.links, link),
        last_at=max(filter(None, (survivor.last_at, absorbed.last_at)), default=None),
        commands=(*absorbed.commands, *survivor.commands),
        **joined,
    )
    gone.thread = Thread(
        absorbed.customer_id,
        version=absorbed.version,
        seq=seq,
        current=None if theirs in (kept, dropped) else theirs,
        merged_into=survivor.customer_id,
        link_n=done.n,
    )
    if kept is not None and kept is theirs:
        into.put(replace(kept, customer_id=survivor.customer_id))
    if kept is not None and dropped is not None:
        into.displaced.append(_ended(dropped, kept, into.now))
        _unite(into, kept, dropped, done)
    _tell(into, done, undone=False)


def undo(into: Draft, apart: Draft, done: Merge) -> None:
    """Part the threads again, each with what came in since by its own identifiers."""
    whole, back = into.thread, apart.thread
    homes = family(whole.links, back.customer_id)
    parts = {name: _parted(getattr(whole, name), homes) for name in _BELONGINGS}
    stays: dict[str, Any] = {name: stay for name, (stay, _) in parts.items()}
    goes: dict[str, Any] = {name: go for name, (_, go) in parts.items()}
    cut = [link for link in whole.links if link.absorbed in homes]
    into.thread = replace(
        whole,
        links=tuple(link for link in whole.links if link.absorbed not in homes),
        **stays,
    )
    apart.thread = replace(
        back,
        seq=max(whole.seq, back.seq),
        merged_into=None,
        link_n=done.n,
        links=tuple(link for link in cut if link.absorbed != back.customer_id),
        last_at=whole.last_at,
        **goes,
    )
    if (current := _current(whole)) is not None:
        _split(into, apart, current, cut)
    _tell(into, done, undone=True)
    _tell(apart, done, undone=True)


def family(links: Sequence[Link], customer_id: str) -> frozenset[str]:
    """Return a Customer with all whom they had absorbed, directly or not."""
    homes = {customer_id}
    while more := {link.absorbed for link in links if link.into in homes} - homes:
        homes |= more
    return frozenset(homes)


# --- one out of two ------------------------------------------------------------------------------


def _current(thread: Thread) -> Conversation | None:
    """Return the Conversation at hand, each of its Contacts with its home."""
    if thread.current is None:
        return None
    named = (replace(each, home=each.home or thread.customer_id) for each in thread.current.contacts)
    return replace(thread.current, contacts=tuple(named))


def _settle(
    ours: Conversation | None, theirs: Conversation | None
) -> tuple[Conversation | None, Conversation | None, Conversation | None]:
    """Return which Conversation goes on, which open one ends in it, and which closed one makes room."""
    if theirs is None or ours is None:
        return ours or theirs, None, None
    if _open(ours) and _open(theirs):
        first, second = sorted((ours, theirs), key=lambda each: (each.opened_at, each.id))
        return first, second, None
    if _open(theirs) or (not _open(ours) and _closed_at(theirs) > _closed_at(ours)):
        return theirs, None, ours
    return ours, None, None


def _open(conversation: Conversation) -> bool:
    return conversation.status is not Status.CLOSED


def _closed_at(conversation: Conversation) -> datetime:
    return conversation.closed_at or conversation.updated_at


def _idle(conversation: Conversation) -> Conversation:
    """Return it with nothing asked of the router."""
    asked: Routing = conversation.routing
    idle = replace(asked, current=0, classes=(), asked_at=None, tries=0, assignments=())
    return replace(conversation, routing=idle)


def _ended(dropped: Conversation, kept: Conversation, now: datetime) -> Conversation:
    """Return it as it is kept: its id leads to the other from now on."""
    return replace(
        _idle(dropped),
        status=Status.CLOSED,
        agent=None,
        closed_at=now,
        updated_at=now,
        merged_into=kept.id,
    )


def _unite(into: Draft, kept: Conversation, dropped: Conversation, done: Merge) -> None:
    """Let the older go on with the Contacts of both; the router settles who has room for it."""
    asked = dropped.routing
    if asked.current or any(wish.granted is None for wish in asked.assignments):
        routing.send_release(into, asked.pool, dropped.id, asked.epoch, "merged")
    into.change(
        contacts=(*kept.contacts, *dropped.contacts),
        topics=tuple(dict.fromkeys((*kept.topics, *dropped.topics)))[:MOST_TOPICS],
        priority=max(kept.priority, dropped.priority),
        skills={**dropped.skills, **kept.skills},
        answered=kept.answered and dropped.answered,
        ticket=kept.ticket or dropped.ticket,
    )
    tickets.wish_instead(into, dropped.id, kept.id)
    told = {"merged": dropped.id, "merged_agent": dropped.agent, "merge_id": done.id}
    into.event(ConversationMerged, told)
    if dropped.status is Status.WAITING:
        return
    if kept.status is Status.OPEN or (kept.status is Status.NEW and dropped.agent is None):
        routing.widen_for(into, dropped.classes)
        return
    into.change(agent=None)
    into.status(Status.NEW, "merged")
    routing.request(
        into,
        preferred=dropped.agent or kept.routing.preferred,
        ahead=dropped.agent is not None,
        since=min(filter(None, (kept.routing.requested_at, asked.requested_at)), default=None),
    )


# --- two out of one ------------------------------------------------------------------------------


def _split(into: Draft, apart: Draft, current: Conversation, cut: Sequence[Link]) -> None:
    """Give each Customer their Contacts of the Conversation at hand, under their own id if there is one."""
    homes = apart.thread.homes
    mine, theirs = _parted(current.contacts, homes)
    if current.home not in homes:
        if theirs:
            _begin(apart, current, theirs, cut)
            _stay(into, mine or current.contacts[:1])
        _part_tickets(into, cut)
        return
    into.thread = replace(into.thread, current=_left(cut, current))
    if mine:
        _begin(into, current, mine, cut)
    _take_back(apart, current, theirs or current.contacts[:1])
    _part_tickets(apart, cut)


def _part_tickets(draft: Draft, cut: Sequence[Link]) -> None:
    """Take from the Conversation at hand the ticket that it has from one that ended in it."""
    ticket = draft.conversation.ticket
    if ticket is not None and any(link.dropped and link.dropped.ticket == ticket for link in cut):
        draft.change(ticket=None)


def _left(cut: Sequence[Link], current: Conversation) -> Conversation | None:
    """Return the survivor's earlier Conversation, of which nothing new is known since."""
    found = (link.left for link in reversed(cut) if link.left is not None)
    return next((left for left in found if left.id != current.id), None)


def _begin(draft: Draft, current: Conversation, parts: tuple[Contact, ...], cut: Sequence[Link]) -> None:
    """Let a half go on under its id from before the merge, or a new one: routed, preferring who had it."""
    customer, own = draft.thread.customer_id, draft.thread.homes
    dropped = (link.dropped for link in reversed(cut) if link.dropped is not None)
    fresh = replace(
        current,
        id=str(ids.derive("conversation", customer, draft.cause)),
        home=customer,
        routing=Routing(pool=current.routing.pool),
        ticket=None,
    )
    before = next((each for each in dropped if each.home in own and each.id != current.id), fresh)
    waits = any(contact.live for contact in parts)
    status = Status.CLOSED if not _open(current) else Status.NEW if waits else Status.WAITING
    draft.put(
        replace(
            before,
            customer_id=customer,
            status=status,
            closed_at=current.closed_at,
            contacts=parts,
            agent=None,
            last_agent=current.last_agent,
            last_agent_at=current.last_agent_at,
            answered=current.answered,
        )
    )
    draft.event(ConversationSplit, {"before": current.id})
    if status is Status.NEW:
        _route(draft, current)


def _stay(into: Draft, parts: tuple[Contact, ...]) -> None:
    """Keep the rest, with its Agent while anybody waits for them."""
    into.change(contacts=parts)
    contacts.let_rest(into, "split")


def _take_back(apart: Draft, current: Conversation, parts: tuple[Contact, ...]) -> None:
    """Let the Conversation go back to whose it was; routed anew, for the router answers to a Customer."""
    apart.thread = replace(apart.thread, current=None)
    apart.put(replace(current, customer_id=apart.thread.customer_id, contacts=parts))
    apart.event(ConversationSplit, {"before": current.id})
    if current.status in (Status.NEW, Status.OPEN):
        routing.release(apart, "split")
        routing.lose_agent(apart, "split")
        _route(apart, current)


def _route(draft: Draft, current: Conversation) -> None:
    preferred = current.agent or current.last_agent
    routing.request(draft, preferred=preferred, ahead=True, since=current.routing.requested_at)


# --- what both share -----------------------------------------------------------------------------


class _AtHome(Protocol):
    @property
    def home(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_AtHome)


def _joined(survivor: Thread, absorbed: Thread, name: str) -> tuple[Any, ...]:
    """Return the entries of both, each with its home."""
    return tuple(
        replace(each, home=each.home or thread.customer_id)
        for thread in (absorbed, survivor)
        for each in getattr(thread, name)
    )


def _parted(entries: Iterable[_Entry], homes: Iterable[str]) -> tuple[tuple[_Entry, ...], tuple[_Entry, ...]]:
    """Return what stays, and what goes with `homes`."""
    every, going = tuple(entries), frozenset(homes)
    return (
        tuple(each for each in every if each.home not in going),
        tuple(each for each in every if each.home in going),
    )


def _tell(draft: Draft, done: Merge, *, undone: bool) -> None:
    """Show it on the timeline."""
    said = {"merge_id": done.id, "survivor": done.survivor, "absorbed": done.absorbed, "undone": undone}
    draft.row(
        str(draft.id("merge")),
        "merge",
        draft.next_seq(),
        {**said, "agent": done.by, "reason": done.reason},
    )
