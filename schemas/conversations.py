"""What happens in a thread: `conversations.events`, key: Customer, `seq` counts a thread's events."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.calls import CallChoice, CallStatus, SpokenChoice
from schemas.common import Attachment, Channel, DeliveryStatus, Identifier
from schemas.envelope import Count, Envelope, Model, Personal, Time, Whole
from schemas.tasks import TaskData, TaskPersonal
from schemas.tickets import TicketData


class Status(StrEnum):
    """Status of a Conversation (domain: the status table)."""

    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    CLOSED = "closed"


class ConversationEvent(Envelope):
    """Base of all events of a thread."""

    customer_id: str
    home: str
    seq: Whole


class ConversationRef(Model):
    """Which Conversation, where it stands, and with whom, after the event."""

    conversation_id: str
    inbox: str
    status: Status
    agent: str | None = None
    rule: str | None = None
    """Name of the rule whose effect it is, where it is one."""


class OpenedData(ConversationRef):
    """A new Conversation; `reopened` where a closed one goes on."""

    reopened: bool = False
    channel: Channel


class StatusChangedData(ConversationRef):
    """`status` is the new one."""

    before: Status
    reason: str
    confirmed: bool | None = None
    """At a close: whether the Customer said it is solved."""


class AssignedData(ConversationRef):
    """`agent` is the new one."""

    before: str | None = None
    reason: str
    forced: bool = False


class UnassignedData(ConversationRef):
    """`before` lost it."""

    before: str
    reason: str


class TransferredData(ConversationRef):
    """Moved to another Inbox."""

    before: str
    by: str | None = None
    reason: str | None = None
    """`overflow`: the router's policy moved it."""


class MergedData(ConversationRef):
    """Another Conversation of the same Customer goes on in this one: two Customers were found to be one."""

    merged: str
    """The id of the other, which leads here from now on."""
    merged_agent: str | None = None
    """Who had the other."""
    merge_id: str


class SplitData(ConversationRef):
    """A half of `before` goes on by itself: a merge of two Customers was undone."""

    before: str


class ContactData(ConversationRef):
    """A Contact started or ended."""

    contact_id: str
    channel: Channel
    account: str
    reason: str | None = None


class MessageData(ConversationRef):
    """A message on the timeline."""

    message_id: UUID
    contact_id: str | None = None
    direction: Literal["inbound", "outbound"]
    channel: Channel
    account: str
    kind: str = "text"
    sent_at: Time
    received_at: Time
    late: bool = False
    author: str | None = None
    """Id of the Agent, on outbound messages."""
    automatic: Literal[True] | None = None
    """Written by nobody: our answer to HELP."""
    noise: bool = False
    guest: bool | None = None
    """True where somebody else than the Customer wrote it, to a reply address of the Customer's."""
    answers: UUID | None = None
    """The message of ours that it answers, where its headers name one."""
    delivery: DeliveryStatus


class MessagePersonal(Personal):
    """Who and what."""

    address: Identifier
    """The Customer's address on the channel."""
    name: str | None = None
    text: str
    html: str | None = None
    """A mail's HTML, made safe to show."""
    quoted: str | None = None
    """The earlier mail that a mail quotes below `text`."""
    subject: str | None = None
    attachments: tuple[Attachment, ...] = ()


class NoteData(ConversationRef):
    """An internal note."""

    note_id: UUID
    author: str
    """Id of the Agent; `rule:<name>` where a rule wrote it."""
    mentions: tuple[str, ...] = ()
    """Ids of the Agents that the text names by `@id` and who may see the Conversation."""


class NotePersonal(Personal):
    """The note."""

    text: str


class CallData(ConversationRef):
    """A call as it is after the event."""

    call_id: UUID
    contact_id: str | None = None
    direction: Literal["inbound", "outbound"]
    channel: Channel
    account: str
    call_status: CallStatus
    started_at: Time
    ended_at: Time | None = None
    duration_seconds: Count | None = None
    choices: tuple[CallChoice, ...] = ()


class CallPersonal(Personal):
    """Who calls, and what was said."""

    address: Identifier
    """The Customer's number, or what the provider shows instead."""
    name: str | None = None
    text: str = ""
    """The transcript, as far as it is there."""
    attachments: tuple[Attachment, ...] = ()
    """The recordings."""
    said: tuple[SpokenChoice, ...] = ()
    """What was pressed or said, in the order of the choices."""


class TopicsData(ConversationRef):
    """All topics after the change."""

    topics: tuple[str, ...]


class PriorityData(ConversationRef):
    """The new priority."""

    priority: Whole


class RuleFiredData(ConversationRef):
    """What a rule did; `rule` is its name."""

    event: str
    """What it fired at: `message`, `opened`, …"""
    actions: tuple[str, ...]
    """What was done, in this order: `topic`, `priority`, …"""
    refused: dict[str, str] = Field(default_factory=dict)
    """What was not done, each with why."""


class DeliveryChangedData(ConversationRef):
    """What became of an outbound message."""

    message_id: UUID
    delivery: DeliveryStatus
    error_code: str | None = None
    error_detail: str | None = None
    error_kind: str | None = None
    """What the refusal is about: `opted_out`, `outside_window`, …"""


class ConsentData(Model):
    """Whether one of our accounts may write to one address of the Customer."""

    conversation_id: str | None = None
    inbox: str
    provider: str
    account: str
    channel: Channel
    opted_out: bool
    scope: Literal["all", "marketing"] = "all"
    """`marketing`: other templates and free text are welcome."""
    source: Literal["customer", "provider"]
    """Who says so."""
    changed_at: Time
    """The provider's time; the latest word counts, of two at once the one that opts out."""


class ConsentPersonal(Personal):
    """Whose."""

    address: Identifier


class ConversationOpened(ConversationEvent):
    """A Conversation began, or a closed one was reopened."""

    type: Literal["conversation.opened"] = "conversation.opened"
    data: OpenedData


class ConversationStatusChanged(ConversationEvent):
    """The status changed."""

    type: Literal["conversation.status_changed"] = "conversation.status_changed"
    data: StatusChangedData


class ConversationAssigned(ConversationEvent):
    """An Agent has it."""

    type: Literal["conversation.assigned"] = "conversation.assigned"
    data: AssignedData


class ConversationUnassigned(ConversationEvent):
    """Its Agent lost it."""

    type: Literal["conversation.unassigned"] = "conversation.unassigned"
    data: UnassignedData


class ConversationTransferred(ConversationEvent):
    """It moved to another Inbox."""

    type: Literal["conversation.transferred"] = "conversation.transferred"
    data: TransferredData


class ConversationMerged(ConversationEvent):
    """Another open Conversation goes on in this one."""

    type: Literal["conversation.merged"] = "conversation.merged"
    data: MergedData


class ConversationSplit(ConversationEvent):
    """A half of a Conversation goes on by itself."""

    type: Literal["conversation.split"] = "conversation.split"
    data: SplitData


class ContactStarted(ConversationEvent):
    """A Contact started."""

    type: Literal["contact.started"] = "contact.started"
    data: ContactData


class ContactEnded(ConversationEvent):
    """A Contact ended."""

    type: Literal["contact.ended"] = "contact.ended"
    data: ContactData


class MessageAdded(ConversationEvent):
    """A message joined the timeline."""

    type: Literal["message.added"] = "message.added"
    data: MessageData
    personal: MessagePersonal


class MessageDeliveryChanged(ConversationEvent):
    """A message's delivery status moved on."""

    type: Literal["message.delivery_changed"] = "message.delivery_changed"
    data: DeliveryChangedData


class NoteAdded(ConversationEvent):
    """An internal note was written."""

    type: Literal["note.added"] = "note.added"
    data: NoteData
    personal: NotePersonal


class CallStarted(ConversationEvent):
    """A call was heard of for the first time."""

    type: Literal["call.started"] = "call.started"
    data: CallData
    personal: CallPersonal


class CallUpdated(ConversationEvent):
    """More is known of a call: a choice, a recording, a transcript, also after its end."""

    type: Literal["call.updated"] = "call.updated"
    data: CallData
    personal: CallPersonal


class CallEnded(ConversationEvent):
    """A call is over; `call_status` says how it went."""

    type: Literal["call.ended"] = "call.ended"
    data: CallData
    personal: CallPersonal


class TopicsChanged(ConversationEvent):
    """Topics were set."""

    type: Literal["conversation.topics_changed"] = "conversation.topics_changed"
    data: TopicsData


class PriorityChanged(ConversationEvent):
    """Priority was set."""

    type: Literal["conversation.priority_changed"] = "conversation.priority_changed"
    data: PriorityData


class RuleFired(ConversationEvent):
    """A rule fired; what it did stands in the events before."""

    type: Literal["rule.fired"] = "rule.fired"
    data: RuleFiredData


class ConsentChanged(ConversationEvent):
    """The Customer opted out of messages of an account, or in again; with or without a Conversation."""

    type: Literal["consent.changed"] = "consent.changed"
    data: ConsentData
    personal: ConsentPersonal


class TicketCreated(ConversationEvent):
    """A ticket was made of a Conversation; it stays when the Conversation closes."""

    type: Literal["ticket.created"] = "ticket.created"
    data: TicketData


class TicketChanged(ConversationEvent):
    """Status, assignee, due time or links of a ticket changed."""

    type: Literal["ticket.changed"] = "ticket.changed"
    data: TicketData


class TaskCreated(ConversationEvent):
    """A Task was made, with or without a Conversation."""

    type: Literal["task.created"] = "task.created"
    data: TaskData
    personal: TaskPersonal


class TaskChanged(ConversationEvent):
    """A Task changed: its words, due time, place, assignee or status."""

    type: Literal["task.changed"] = "task.changed"
    data: TaskData
    personal: TaskPersonal


class TaskDue(ConversationEvent):
    """The due time of an open Task has passed; told once for each due time."""

    type: Literal["task.due"] = "task.due"
    data: TaskData
    personal: TaskPersonal


AnyConversationEvent = Annotated[
    ConversationOpened
    | ConversationStatusChanged
    | ConversationAssigned
    | ConversationUnassigned
    | ConversationTransferred
    | ConversationMerged
    | ConversationSplit
    | ContactStarted
    | ContactEnded
    | MessageAdded
    | MessageDeliveryChanged
    | NoteAdded
    | CallStarted
    | CallUpdated
    | CallEnded
    | TopicsChanged
    | PriorityChanged
    | RuleFired
    | ConsentChanged
    | TicketCreated
    | TicketChanged
    | TaskCreated
    | TaskChanged
    | TaskDue,
    Field(discriminator="type"),
]
