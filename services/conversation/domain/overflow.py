"""What waits in, or is served from, another Inbox by the router's policy belongs to that from now on.

So its Agents, who see only their Inboxes' Conversations, see it and answer it.
"""

from schemas import routing as contract
from schemas.conversations import ConversationTransferred
from services.conversation.domain import tasks
from services.conversation.domain.task_draft import AnyDraft, TaskDraft

_REASON = "overflow"


def overflowed(here: AnyDraft | None, data: contract.OverflowData) -> bool:
    """Let what waits wait in the fallback Inbox. Returns False when that is stale, or a repeat."""
    if here is None:
        return False
    routing = here.routed.routing
    if (routing.pool, routing.current) != (data.pool, data.epoch) or data.n <= routing.n:
        return False
    here.routing(n=data.n)
    move(here, data.inbox)
    return True


def move(here: AnyDraft, inbox: str) -> None:
    """Put it into the Inbox, and say so; nothing where it is there."""
    before = here.routed.inbox
    if inbox == before:
        return
    if isinstance(here, TaskDraft):
        tasks.moved(here, inbox, _REASON)
        return
    here.change(inbox=inbox)
    here.event(
        ConversationTransferred,
        {"before": before, "by": None, "reason": _REASON},
        row="assignment",
        inbox=inbox,
        before=before,
        reason=_REASON,
    )
