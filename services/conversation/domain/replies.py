"""Replies and notes."""

from dataclasses import dataclass, replace
from uuid import UUID

from schemas.common import Attachment, Channel, DeliveryStatus, TemplateUse
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


@dataclass(frozen=True, slots=True)
class Words:
    """What a message of ours says, and how it must go out."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    template: TemplateUse | None = None
    """`text` is its wording."""
    human_agent: bool = False
    """Meta's tag of the same name is needed."""


def reply(
    draft: Draft,
    *,
    message_id: UUID,
    agent: str,
    channel: Channel,
    route: Route,
    text: str,
    attachments: tuple[Attachment, ...] = (),
    template: TemplateUse | None = None,
    human_agent: bool = False,
) -> None:
    """Send `text` to the Customer on `channel`; see Words."""
    draft.correlation = route.correlation
    draft.home = route.home or draft.home
    contact = join(draft, channel, route.account, route.address.value)
    draft.contact(replace(contact, last_ours=True, answered=True, last_at=max(contact.last_at, draft.now)))
    worked = {"last_agent_at": draft.now} if draft.conversation.agent == agent else {}
    draft.change(answered=True, **worked)
    words = Words(text, attachments, template, human_agent)
    write(draft, message_id, channel, route, words, agent=agent, contact_id=contact.id)
    end_answered_mail(draft)
    let_rest(draft, "answered")


def write(
    draft: Draft,
    message_id: UUID,
    channel: Channel,
    route: Route,
    words: Words,
    *,
    agent: str | None = None,
    contact_id: str | None = None,
) -> None:
    """Put a message of ours on the timeline and have it sent; without an `agent` it is automatic."""
    seq = _tell(draft, message_id, channel, route, words, agent, contact_id)
    if channel is Channel.EMAIL:
        mails.note_sent(draft, message_id, route.address.value)
    current = draft.thread.current
    consent = draft.thread.standing(route.provider, route.account, route.address.value).consent
    draft.thread = replace(draft.thread, last_at=max(draft.thread.last_at or draft.now, draft.now))
    draft.caused.append(
        MessageSend(
            id=draft.id("send"),
            occurred_at=draft.now,
            correlation=draft.correlation,
            causation=draft.cause,
            customer_id=draft.thread.customer_id,
            home=draft.home,
            seq=seq,
            data=OutboundData(
                message_id=message_id,
                conversation_id=current.id if current else "",
                provider=route.provider,
                account=route.account,
                channel=channel,
                agent=agent,
                automatic=agent is None,
                human_agent=words.human_agent,
                consent_at=consent.at if consent else None,
            ),
            personal=OutboundPersonal(
                to=route.address,
                text=words.text,
                subject=route.subject,
                in_reply_to=route.provider_message_id,
                references=route.references,
                attachments=words.attachments,
                template=words.template,
            ),
        )
    )


def _tell(
    draft: Draft,
    message_id: UUID,
    channel: Channel,
    route: Route,
    words: Words,
    agent: str | None,
    contact_id: str | None,
) -> int:
    """Add the event, where there is a Conversation, and the timeline item; return their number."""
    kind = "template" if words.template else "text"
    if draft.thread.current is None:
        seq = draft.next_seq()
    else:
        seq = draft.event(
            MessageAdded,
            {
                "message_id": message_id,
                "contact_id": contact_id,
                "direction": "outbound",
                "channel": channel,
                "account": route.account,
                "kind": kind,
                "sent_at": draft.now,
                "received_at": draft.now,
                "author": agent,
                "automatic": True if agent is None else None,
                "delivery": DeliveryStatus.QUEUED,
            },
            personal=MessagePersonal(
                address=route.address,
                text=words.text,
                subject=route.subject,
                attachments=tuple(each.model_copy(update={"blob": None}) for each in words.attachments),
            ),
        ).seq
    fields = {
        "contact_id": contact_id,
        "channel": channel,
        "account": route.account,
        "direction": "outbound",
        "type": kind,
        "text": words.text,
        "attachments": [each.shown() for each in words.attachments],
        "address": route.address.value,
        "to": {"provider": route.provider, "address": route.address.model_dump(mode="json")},
        "agent": agent,
        "automatic": agent is None,
        "late": False,
        "noise": False,
        "status": DeliveryStatus.QUEUED,
        "status_seq": 0,
    }
    if words.template:
        fields["template"] = words.template.model_dump(include={"name", "language"})
    draft.row(str(message_id), "message", seq, fields)
    return seq


def note(
    draft: Draft,
    *,
    note_id: UUID,
    author: str,
    text: str,
    about: Conversation,
    mentions: tuple[str, ...] = (),
) -> None:
    """Write an internal note about a Conversation, closed ones too; it never reaches the Customer."""
    subject = draft.thread.current if draft.thread.current and draft.thread.current.id == about.id else about
    data = {
        "note_id": note_id,
        "author": author,
        "mentions": mentions,
        "conversation_id": subject.id,
        "inbox": subject.inbox,
        "status": subject.status,
        "agent": subject.agent,
    }
    event = draft.event(NoteAdded, data, personal=NotePersonal(text=text))
    by = None if draft.rule else author
    fields = {"text": text, "agent": by, "mentions": list(mentions)}
    draft.row(str(note_id), "note", event.seq, fields, about=subject)


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
                "error_kind": data.error_kind,
            },
        )
    draft.caused.append(
        RowPatch(
            id=str(data.message_id),
            status=data.status,
            status_seq=status.seq,
            fields={
                "error_code": data.error_code,
                "error_detail": data.error_detail,
                "error_kind": data.error_kind,
            },
        )
    )
