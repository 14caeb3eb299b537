"""What the API shows: Conversations and timeline items."""

from datetime import datetime
from typing import Any

from schemas.envelope import rfc3339
from services.chassis.mongo import Document
from services.conversation.domain.model import Conversation

_HIDDEN = {"_id", "home", "seq", "status_seq", "text_raw", "address", "to", "words", "blobs"}


def conversation_view(conversation: Conversation) -> dict[str, Any]:
    """Return a Conversation as the API shows it."""
    return {
        "id": conversation.id,
        "customer_id": conversation.customer_id,
        "status": conversation.status,
        "inbox": conversation.inbox,
        "agent": conversation.agent,
        "topics": list(conversation.topics),
        "priority": conversation.priority,
        "contacts": [
            {
                "id": contact.id,
                "channel": contact.channel,
                "account": contact.account,
                "started_at": rfc3339(contact.started_at),
                "ended_at": rfc3339(contact.ended_at) if contact.ended_at else None,
            }
            for contact in conversation.contacts
        ],
        "sla": None,
        "ticket": conversation.ticket,
        "confirmed": conversation.confirmed,
        "opened_at": rfc3339(conversation.opened_at),
        "updated_at": rfc3339(conversation.updated_at),
        "closed_at": rfc3339(conversation.closed_at) if conversation.closed_at else None,
    }


def timeline_view(row: Document) -> dict[str, Any]:
    """Return a timeline item as the API shows it."""
    view = {name: _json(value) for name, value in row.items() if name not in _HIDDEN}
    defaults: dict[str, Any] = {
        "late": False,
        "contact_id": None,
        "channel": None,
        "direction": None,
        "text": None,
        "attachments": [],
    }
    return {"id": row["_id"], **defaults, "agent": None, "status": None, **view}


def visitor_view(row: Document) -> dict[str, Any]:
    """Return a message as its visitor sees it."""
    return {
        "id": row["_id"],
        "message_id": row["_id"],
        "at": rfc3339(row["at"]),
        "direction": row["direction"],
        "text": row["text"],
        "attachments": [dict(each) for each in row.get("attachments", [])],
        "status": row["status"],
    }


def _json(value: object) -> object:
    return rfc3339(value) if isinstance(value, datetime) else value
