"""`GET /v1/conversations/{id}/history?at=`: a Conversation as it was."""

from typing import Any

from fastapi import APIRouter

from schemas.envelope import rfc3339
from services.chassis.auth import Agent
from services.chassis.problems import not_found
from services.conversation.access import Access
from services.conversation.history_store import as_it_was
from services.conversation.store import Store
from services.conversation.times import moment_of


def routes(store: Store, access: Access) -> APIRouter:
    """Return the route. Who may see the Conversation now may see what it was."""
    router = APIRouter()

    @router.get("/v1/conversations/{conversation_id}/history")
    async def history(caller: Agent, conversation_id: str, at: str) -> dict[str, Any]:
        moment = moment_of("at", at)
        found = await access.conversation(caller, conversation_id)
        view = await as_it_was(store.history, found.id, moment)
        if view is None:
            raise not_found(f"the Conversation {conversation_id} at {rfc3339(moment)}")
        return {**view, "at": rfc3339(moment)}

    return router
