"""What a Conversation makes of the router's decisions.

Each is about an epoch: one about another than the present is stale, and a stale grant is given back.
"""

from schemas import routing as contract
from schemas.conversations import ConversationAssigned, Status
from schemas.envelope import Envelope
from services.conversation.domain.draft import Draft
from services.conversation.domain.routing import (
    lose_agent,
    request,
    send_release,
    send_request,
    settle,
    widen_for,
)
from services.conversation.domain.table import GRANTED_BY_NAME, GRANTED_BY_QUEUE


def apply(draft: Draft, decision: Envelope) -> bool:
    """Apply a decision of the router. Returns False when it changes nothing (a repeat, or stale)."""
    match decision:
        case contract.RoutingGranted():
            return granted(draft, decision.data)
        case contract.RoutingUnassigned():
            return unassigned(draft, decision.data)
        case contract.RoutingRefused():
            return refused(draft, decision.data)
        case contract.RoutingReleased():
            return released(draft, decision.data)
        case _:
            return False  # offers concern the Agent asked, not the thread


def granted(draft: Draft, data: contract.GrantData) -> bool:
    """Give the Conversation to the Agent, or the grant back."""
    current = draft.thread.current
    if current is None or current.id != data.conversation_id or current.routing.pool != data.pool:
        return _give_back(draft, data)
    routing = current.routing
    pending = (item for item in routing.assignments if item.granted is None)
    wish = next((item for item in pending if item.epoch == data.epoch), None)
    if wish is None and data.epoch != routing.current:
        return _give_back(draft, data)
    if data.n <= routing.n:
        return False
    allowed = GRANTED_BY_NAME if wish else GRANTED_BY_QUEUE
    if current.status is Status.OPEN and current.agent == data.agent and wish is None:
        draft.routing(n=data.n)
        return True
    if current.status not in allowed or data.epoch < routing.current:
        if wish:
            settle(draft, wish, granted=False, detail=f"the Conversation is {current.status} by now")
        return _give_back(draft, data)
    if wish:
        settle(draft, wish, granted=True, detail="")
    counted = wish.classes if wish else routing.classes
    draft.routing(n=data.n, current=data.epoch, asked_at=None, tries=0, classes=counted)
    _assign(draft, data)
    widen_for(draft, draft.conversation.classes)  # of Contacts that started after the wish
    return True


def _assign(draft: Draft, data: contract.GrantData) -> None:
    before = draft.conversation.agent
    draft.change(agent=data.agent, last_agent=data.agent, last_agent_at=draft.now)
    draft.status(Status.OPEN, data.reason)
    draft.event(
        ConversationAssigned,
        {"before": before, "reason": data.reason, "forced": data.forced},
        row="assignment",
        agent=data.agent,
        before=before,
        reason=data.reason,
        forced=data.forced,
    )


def unassigned(draft: Draft, data: contract.UnassignData) -> bool:
    """The Agent lost it; the router has queued it again under the same epoch."""
    current = draft.thread.current
    if current is None or current.id != data.conversation_id or data.epoch != current.routing.current:
        return False
    if data.n <= current.routing.n or current.status is not Status.OPEN:
        return False
    asked = current.routing
    draft.routing(n=data.n, asked_at=draft.now, tries=0, ahead=True, preferred=None)
    lose_agent(draft, data.reason)
    if current.priority != asked.priority:  # it was set while an Agent had it
        request(draft, ahead=True, since=asked.requested_at)
    return True


def refused(draft: Draft, data: contract.RefusalData) -> bool:
    """Note the refusal for whoever asked; nothing else changes."""
    current = draft.thread.current
    if current is None or current.id != data.conversation_id:
        return False
    wish = next((item for item in current.routing.assignments if item.command_id == data.command_id), None)
    if wish is None or wish.granted is not None:
        return False
    settle(draft, wish, granted=False, detail=data.detail)
    return True


def released(draft: Draft, data: contract.ReleasedData) -> bool:
    """The pool we left has let go: the new one may be asked."""
    current = draft.thread.current
    if current is None or current.id != data.conversation_id or current.routing.leaving != data.pool:
        return False
    if data.epoch < current.routing.leaving_epoch:
        return False
    draft.routing(leaving=None)
    if current.status is Status.NEW and current.routing.current:
        send_request(draft)
    return True


def _give_back(draft: Draft, data: contract.GrantData) -> bool:
    send_release(draft, data.pool, data.conversation_id, data.epoch, "stale")
    return True
