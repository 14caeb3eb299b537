"""Checks of routing, by a replay of its decisions.

They allow for what decisions alone do not show: a newer request of a Conversation ends what it held before
without a decision of its own.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.common import Channel, ChannelClass, channel_class
from schemas.routing import (
    Capacity,
    RoutingGranted,
    RoutingOffered,
    RoutingRefused,
    RoutingReleased,
    RoutingUnassigned,
)
from tests.system.evidence import Evidence


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


def _decisions(evidence: Evidence) -> list[Any]:
    """Return all decisions in order; one that was published twice is one."""
    unique = {decision.id: decision for decision in evidence.decisions}
    return sorted(unique.values(), key=lambda decision: (decision.data.pool, decision.data.n))
