"""`GET /v1/conversations/{id}/history?at=`: a Conversation as it was."""

from typing import Any

from fastapi import APIRouter

from schemas.envelope import rfc3339
from services.chassis.auth import Agent
from services.chassis.problems import moved, not_found
from services.conversation.access import Access
from services.conversation.history_store import as_it_was
from services.conversation.store import Store
from services.conversation.times import moment_of
from services.conversation.views import conversation_view


def routes(store: Store, access: Access) -> APIRouter:
    """Return the route. Who may see the Conversation now may see what it was.

    One that ended in another is itself until then; from then on the answer is 308. The Customer is the one
    it was with at its last change before that moment, or, where it is still so today, who stands for them.
    """
    router = APIRouter()

    @router.get("/v1/conversations/{conversation_id}/history")
    async def history(caller: Agent, conversation_id: str, at: str) -> dict[str, Any]:
        moment = moment_of("at", at)
        found = await access.seen(caller, conversation_id)
        if found.merged_into is not None and moment >= (found.closed_at or found.updated_at):
            raise moved("conversation", conversation_id, found.merged_into)
        view = await as_it_was(store.history, found.id, moment)
        if view is None:
            raise not_found(f"the Conversation {conversation_id} at {rfc3339(moment)}")
        (today,) = map(conversation_view, await store.with_customers([found]))
        if view["updated_at"] == today["updated_at"]:
            view["customer_id"] = today["customer_id"]
        return {**view, "at": rfc3339(moment)}

    return router
