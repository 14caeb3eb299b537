"""The status table: what each happening does to a Conversation, by its status.

`None` is "no Conversation yet". The rules of the other modules look here before they act.
"""

from enum import StrEnum

from schemas.conversations import Status

NEW, OPEN, WAITING, CLOSED = Status.NEW, Status.OPEN, Status.WAITING, Status.CLOSED


class Inbound(StrEnum):
    """What a message of the Customer does."""

    START = "a new Conversation, routed"
    JOIN = "joins or starts a Contact; the status stays"
    WAKE = "the Conversation is new again and routed, preferring its Agent"
    REVIVE = "within the reopen window as WAKE, later as START"
    RECORD = "recorded, nothing else"


ON_MESSAGE = {
    None: Inbound.START,
    NEW: Inbound.JOIN,
    OPEN: Inbound.JOIN,
    WAITING: Inbound.WAKE,
    CLOSED: Inbound.REVIVE,
}
ON_GREETING = {**ON_MESSAGE, CLOSED: Inbound.RECORD}
"""Within the reopen window; after it a greeting starts a Conversation like any message."""
ON_NOISE = dict.fromkeys(ON_MESSAGE, Inbound.RECORD)


class Action(StrEnum):
    """What Agents and leads may ask for."""

    REPLY = "reply to"
    NOTE = "write a note on"
    NO_REPLY_NEEDED = "mark as No Reply Needed"
    TAKE = "take"
    UNASSIGN = "unassign"
    TRANSFER = "transfer"
    CLOSE = "close"
    REOPEN = "reopen"
    TOPICS = "set topics of"
    PRIORITY = "set the priority of"
    END_CONTACT = "end a Contact of"


ALLOWED = {
    Action.REPLY: {NEW, OPEN, WAITING},
    Action.NOTE: {NEW, OPEN, WAITING, CLOSED},
    Action.NO_REPLY_NEEDED: {NEW, OPEN, WAITING},
    Action.TAKE: {NEW, OPEN, WAITING},
    Action.UNASSIGN: {OPEN, WAITING},
    Action.TRANSFER: {NEW, OPEN, WAITING},
    Action.CLOSE: {NEW, OPEN, WAITING, CLOSED},
    Action.REOPEN: {CLOSED},
    Action.TOPICS: {NEW, OPEN, WAITING, CLOSED},
    Action.PRIORITY: {NEW, OPEN, WAITING, CLOSED},
    Action.END_CONTACT: {NEW, OPEN, WAITING},
}

GRANTED_BY_QUEUE = {NEW}
"""A grant of a queued request; elsewhere the request was cancelled, and the grant is released."""
GRANTED_BY_NAME = {NEW, OPEN, WAITING}
"""A grant of a take or transfer."""
AFTER_LAST_CONTACT = {NEW: WAITING, OPEN: WAITING}
"""From new only when it was answered."""
