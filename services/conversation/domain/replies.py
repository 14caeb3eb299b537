"""Replies and notes."""

from dataclasses import replace
from uuid import UUID

from schemas.common import Attachment, Channel, DeliveryStatus
from schemas.conversations import (
    MessageAdded,
    MessageDeliveryChanged,
    MessagePersonal,
    NoteAdded,
    NotePersonal,
)
from schemas.outbound import MessageSend, MessageStatus, OutboundData, OutboundPersonal
from services.conversation.domain import mails
from services.conversation.domain.contacts import end_answered_mail, let_rest
from services.conversation.domain.draft import Draft, RowPatch
from services.conversation.domain.inbound import join
from services.conversation.domain.model import Conversation, Route


def reply(
    draft: Draft,
    *,
    message_id: UUID,
    agent: str,
    channel: Channel,
    route: Route,
    text: str,
    attachments: tuple[Attachment, ...] = (),
) -> None:
    """Send `text` to the Customer on `channel`."""
    draft.correlation = route.correlation
    contact = join(draft, channel, route.account, route.address.value)
    draft.contact(replace(contact, last_ours=True, answered=True, last_at=max(contact.last_at, draft.now)))
    worked = {"last_agent_at": draft.now} if draft.conversation.agent == agent else {}
    draft.change(answered=True, **worked)
    event = draft.event(
        MessageAdded,
        {
            "message_id": message_id,
            "contact_id": contact.id,
            "direction": "outbound",
            "channel": channel,
            "account": route.account,
            "sent_at": draft.now,
            "received_at": draft.now,
            "author": agent,
            "delivery": DeliveryStatus.QUEUED,
        },
        personal=MessagePersonal(
            address=route.address, text=text, subject=route.subject, attachments=attachments
        ),
    )
    fields = {
        "contact_id": contact.id,
        "channel": channel,
        "account": route.account,
        "direction": "outbound",
        "type": "text",
        "text": text,
        "attachments": [item.model_dump(mode="json", exclude_none=True) for item in attachments],
        "address": route.address.value,
        "agent": agent,
        "late": False,
        "noise": False,
        "status": DeliveryStatus.QUEUED,
        "status_seq": 0,
    }
    draft.row(str(message_id), "message", event.seq, fields)
    if channel is Channel.EMAIL:
        mails.note_sent(draft, message_id, route.address.value)
    draft.thread = replace(draft.thread, last_at=max(draft.thread.last_at or draft.now, draft.now))
    draft.caused.append(
        MessageSend(
            id=draft.id("send"),
            occurred_at=draft.now,
            correlation=draft.correlation,
            causation=draft.cause,
            customer_id=draft.thread.customer_id,
            home=draft.home,
            seq=event.seq,
            data=OutboundData(
                message_id=message_id,
                conversation_id=draft.conversation.id,
                provider=route.provider,
                account=route.account,
                channel=channel,
                agent=agent,
            ),
            personal=OutboundPersonal(
                to=route.address,
                text=text,
                subject=route.subject,
                in_reply_to=route.provider_message_id,
                references=route.references,
                attachments=attachments,
            ),
        )
    )
    end_answered_mail(draft)
    let_rest(draft, "answered")


def note(draft: Draft, *, note_id: UUID, author: str, text: str, about: Conversation) -> None:
    """Write an internal note about a Conversation, closed ones too; it never reaches the Customer."""
    subject = draft.thread.current if draft.thread.current and draft.thread.current.id == about.id else about
    data = {
        "note_id": note_id,
        "author": author,
        "conversation_id": subject.id,
        "inbox": subject.inbox,
        "status": subject.status,
        "agent": subject.agent,
    }
    event = draft.event(NoteAdded, data, personal=NotePersonal(text=text))
    draft.row(str(note_id), "note", event.seq, {"text": text, "agent": author}, about=subject)


def delivery_changed(draft: Draft, status: MessageStatus) -> None:
    """Show on the timeline what became of a message; `status` never regresses at its source."""
    data = status.data
    mails.note_name(draft, data.message_id, data.provider_message_id)
    current = draft.thread.current
    if current is not None and current.id == data.conversation_id:
        draft.event(
            MessageDeliveryChanged,
            {
                "message_id": data.message_id,
                "delivery": data.status,
                "error_code": data.error_code,
                "error_detail": data.error_detail,
            },
        )
    draft.caused.append(
        RowPatch(
            id=str(data.message_id),
            status=data.status,
            status_seq=status.seq,
            fields={"error_code": data.error_code, "error_detail": data.error_detail},
        )
    )
