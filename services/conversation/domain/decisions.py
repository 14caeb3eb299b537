"""What a Conversation, or a Task, makes of the router's decisions.

Each is about an epoch: one about another than the present is stale, and a stale grant is given back.
"""

from schemas import routing as contract
from schemas.conversations import ConversationAssigned, Status
from schemas.envelope import Envelope
from services.conversation.domain import overflow, tasks
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation
from services.conversation.domain.routing import (
    lose_agent,
    outcome,
    request,
    send_release,
    send_request,
    settle,
    widen_for,
)
from services.conversation.domain.table import GRANTED_BY_NAME, GRANTED_BY_QUEUE
from services.conversation.domain.task import Task
from services.conversation.domain.task_draft import TaskDraft, routed


def apply(draft: Draft, decision: Envelope) -> bool:
    """Apply a decision of the router. Returns False when it changes nothing (a repeat, or stale)."""
    match decision:
        case contract.RoutingGranted():
            return granted(draft, decision.data)
        case contract.RoutingOverflowed():
            return overflow.overflowed(routed(draft, decision.data.conversation_id), decision.data)
        case contract.RoutingUnassigned():
            return unassigned(draft, decision.data)
        case contract.RoutingRefused():
            return refused(draft, decision.data)
        case contract.RoutingReleased():
            return released(draft, decision.data)
        case _:
            return False  # offers concern the Agent asked, not the thread


def granted(draft: Draft, data: contract.GrantData) -> bool:
    """Give it to the Agent, or the grant back."""
    here = routed(draft, data.conversation_id)
    if here is None or here.routed.routing.pool != data.pool:
        return _give_back(draft, data)
    item = here.routed
    routing = item.routing
    pending = (wish for wish in routing.assignments if wish.granted is None)
    wish = next((wish for wish in pending if wish.epoch == data.epoch), None)
    if wish is None and data.epoch != routing.current:
        return _give_back(draft, data)
    if data.n <= routing.n:
        return False
    if item.holder is not None and item.holder == data.agent and wish is None:
        here.routing(n=data.n)
        return True
    if not _grantable(item, by_name=wish is not None) or data.epoch < routing.current:
        if wish:
            settle(here, wish, granted=False, detail=f"the {_name(item)} is {item.status} by now")
        return _give_back(draft, data)
    if wish:
        settle(here, wish, granted=True, detail="")
    counted = wish.classes if wish else routing.classes
    here.routing(n=data.n, current=data.epoch, asked_at=None, tries=0, classes=counted)
    if wish is None and data.inbox is not None:
        overflow.move(here, data.inbox)
    if isinstance(here, TaskDraft):
        tasks.assigned(here, data, wish.by if wish else None)
    else:
        _assign(draft, data)
        widen_for(draft, draft.conversation.classes)  # of Contacts that started after the wish
    return True


def _grantable(item: Conversation | Task, *, by_name: bool) -> bool:
    if isinstance(item, Task):
        return by_name or item.waits
    return item.status in (GRANTED_BY_NAME if by_name else GRANTED_BY_QUEUE)


def _name(item: Conversation | Task) -> str:
    return "Task" if isinstance(item, Task) else "Conversation"


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
    here = routed(draft, data.conversation_id)
    if here is None:
        return False
    item = here.routed
    asked = item.routing
    if data.epoch != asked.current or data.n <= asked.n or item.holder is None:
        return False
    here.routing(n=data.n, asked_at=draft.now, tries=0, ahead=True, preferred=None)
    if isinstance(here, TaskDraft):
        tasks.lost(here, data.reason)
    else:
        lose_agent(draft, data.reason)
    if item.priority != asked.priority:  # it was set while an Agent had it
        request(here, ahead=True, since=asked.requested_at)
    return True


def refused(draft: Draft, data: contract.RefusalData) -> bool:
    """Note the refusal for whoever asked; nothing else changes."""
    here = routed(draft, data.conversation_id)
    wish = outcome(here.routed, data.command_id) if here is not None else None
    if here is None or wish is None or wish.granted is not None:
        return False
    settle(here, wish, granted=False, detail=data.detail)
    return True


def released(draft: Draft, data: contract.ReleasedData) -> bool:
    """The pool we left has let go: the new one may be asked."""
    here = routed(draft, data.conversation_id)
    if here is None or here.routed.routing.leaving != data.pool:
        return False
    if data.epoch < here.routed.routing.leaving_epoch:
        return False
    here.routing(leaving=None)
    if here.routed.waits and here.routed.routing.current:
        send_request(here)
    return True


def _give_back(draft: Draft, data: contract.GrantData) -> bool:
    send_release(draft, data.pool, data.conversation_id, data.epoch, "stale", kind=data.kind)
    return True
