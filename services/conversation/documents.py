"""Threads and Conversations as documents, and what a save of a thread writes with it."""

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from pymongo import UpdateOne

from schemas.changes import ThreadSaved
from schemas.common import Channel, Identifier
from schemas.conversations import ConversationEvent, Status
from schemas.envelope import Envelope
from schemas.outbound import MessageSend
from schemas.topics import CONVERSATION_CHANGES, CONVERSATIONS_EVENTS, MESSAGES_OUTBOUND, ROUTING_COMMANDS
from services.chassis.broker import partition_of
from services.chassis.mongo import Document
from services.chassis.outbox import Effect, Publish, Row, to_document
from services.conversation import changes, history_store, search_store
from services.conversation.domain.consent import Line
from services.conversation.domain.draft import Caused, RowPatch, TimelineRow
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.topics import found_by
from services.conversation.handlers import Loaded
from services.conversation.kept import kept_rows, moved_rows

_THREADS = TypeAdapter(Thread)
_CONVERSATIONS = TypeAdapter(Conversation)


def conversation_of(document: Document) -> Conversation:
    """Return the Conversation stored in a document of the `conversations` collection."""
    return _CONVERSATIONS.validate_python(document["state"])


def line_of(row: Document) -> Line | None:
    """Return by which line the message of a timeline row was sent; None for one that was not."""
    to = row.get("to")
    if to is None:
        return None
    address = Identifier.model_validate(to["address"])
    return Line(to["provider"], row["account"], Channel(row["channel"]), address)


def loaded_of(document: Document) -> Loaded:
    """Return the thread stored in a document, with what its outbox says of timeline rows."""
    state = {**document["state"], "version": document["version"], "seq": document["seq"]}
    item = Loaded(_THREADS.validate_python(state), bool(document.get("outbox")), document.get("next_due"))
    for entry in document.get("outbox", ()):
        if entry.get("collection") == "timeline":
            row = entry["document"]
            item.rows[row["_id"]] = max(item.rows.get(row["_id"], 0), row.get("status_seq", 0))
    return item


def saved(
    item: Loaded, due: datetime | None, now: datetime, version: int, *, beside: bool = False
) -> UpdateOne:
    """Give the item its effects, and return the one write of both.

    `beside`: its Conversations are written in the same transaction, not from the outbox.
    """
    thread = item.thread
    state = _THREADS.dump_python(thread, mode="json", exclude={"version", "seq"})
    fields: Document = {
        "state": state,
        "version": version,
        "seq": thread.seq,
        "partition": partition_of(thread.customer_id),
    }
    conversations = _conversations(item, version, now)
    effects = [
        *(row for kept in item.kept.values() for row in kept_rows(kept, version, now)),
        *(row for each in item.conversations.values() for row in moved_rows(each, version, now)),
        *history_store.rows(thread.customer_id, item.moments, version, now),
        *(_effect(caused, thread.customer_id, now) for caused in item.caused),
    ]
    rows = [*conversations, *(effect for effect in effects if isinstance(effect, Row))]
    records = changes.saved(item, version, state, due, rows, now)
    item.effects = [
        *(() if beside else conversations),
        *effects,
        *(_publish(record, thread.customer_id, now) for record in records),
    ]
    update: Document = {
        "$set": fields,
        "$push": {"outbox": {"$each": [to_document(effect) for effect in item.effects]}},
    }
    if due is None:
        update["$unset"] = {"next_due": ""}
    else:
        fields["next_due"] = due
    # a version that is not there any more makes this an insert, and that a duplicate key: the race is seen
    return UpdateOne({"_id": thread.customer_id, "version": thread.version}, update, upsert=True)


def _conversations(item: Loaded, version: int, now: datetime) -> list[Row]:
    return [
        Row(
            id=f"conversation:{conversation.id}:{version}",
            at=now,
            collection="conversations",
            document=conversation_document(conversation, version),
            how="replace",
            guard="version",
            wave=0 if conversation.status is Status.CLOSED else 1,
        )
        for conversation in item.conversations.values()
    ]


def _effect(caused: Caused, customer_id: str, now: datetime) -> Effect:
    match caused:
        case TimelineRow():
            # after the Conversation: who sees an item must find the Conversation it names
            document = search_store.with_words(_row(caused))
            return Row(id=f"row:{caused.id}", at=now, collection="timeline", document=document, wave=2)
        case RowPatch():
            document = {
                "_id": caused.id,
                "status": caused.status,
                "status_seq": caused.status_seq,
                **caused.fields,
            }
            return Row(
                id=f"patch:{caused.id}:{caused.status_seq}",
                at=now,
                collection="timeline",
                document=search_store.with_words(document),
                how="patch",
                guard="status_seq",
                wave=3,
            )
        case _:
            return _publish(caused, customer_id, now)


def _publish(record: Envelope, customer_id: str, now: datetime) -> Publish:
    match record:
        case ConversationEvent():
            topic, key = CONVERSATIONS_EVENTS, customer_id
        case MessageSend():
            topic, key = MESSAGES_OUTBOUND, customer_id
        case ThreadSaved():
            topic, key = CONVERSATION_CHANGES, customer_id
        case _:
            command: Any = record
            topic, key = ROUTING_COMMANDS, command.data.pool
    return Publish(id=str(record.id), at=now, topic=topic.name, key=key, value=record.json_bytes())


def _row(row: TimelineRow) -> Document:
    return {
        "_id": row.id,
        "home": row.home,
        "at": row.at,
        "received_at": row.received_at,
        "seq": row.seq,
        "kind": row.kind,
        "conversation_id": row.conversation_id,
        **row.fields,
    }


def conversation_document(conversation: Conversation, version: int) -> Document:
    """Return the document of the `conversations` collection; `version` is that of the thread."""
    return {
        "_id": conversation.id,
        "version": version,
        "customer_id": conversation.customer_id,
        "home": conversation.home,
        "merged": conversation.merged_into is not None,
        "open": conversation.status is not Status.CLOSED,
        "status": conversation.status,
        "inbox": conversation.inbox,
        "agent": conversation.agent,
        "topics": found_by(conversation.topics),
        "opened_at": conversation.opened_at,
        "state": _CONVERSATIONS.dump_python(conversation, mode="json"),
    }
