"""How conversation's store changes: `conversation.changes`, key: Customer.

A changelog in the sense of Kafka Streams: whoever applies all records in the order of the log has the
store. `python -m services.conversation.rebuild` does.
"""

from typing import Any, Literal

from schemas.envelope import Count, Envelope, Model, Personal, Time, Whole


class SavedRow(Model):
    """A document as a save wrote it to one of conversation's collections.

    `insert` writes it unless it is there, `replace` unless a newer `guard` is there, `patch` sets its
    fields in the existing document unless a newer `guard` is there.
    """

    collection: str
    how: Literal["insert", "replace", "patch"]
    guard: str
    wave: Whole = 0
    """Rows of a lower wave come first."""
    document: dict[str, Any]
    """As relaxed Extended JSON of MongoDB: a moment is `{"$date": "<RFC 3339>"}`."""
    of_current: bool = False
    """The document's `state` is left out: it is the thread's `current`."""


class ThreadSavedData(Model):
    """Which save of which thread. `seq` of the record is the thread's version after it."""

    thread_seq: Count
    """Number of the thread's last event."""
    next_due: Time | None = None
    """When the thread next changes by itself."""


class ThreadSavedPersonal(Personal):
    """What was saved."""

    state: dict[str, Any] | None = None
    """The thread; only in the record of its own Customer, the first if there are several."""
    rows: tuple[SavedRow, ...] = ()
    """Rows of the record's home."""


class ThreadSaved(Envelope):
    """A thread was saved: it, and what the change wrote. One record for each home; more where it is large."""

    type: Literal["thread.saved"] = "thread.saved"
    customer_id: str
    home: str
    seq: Whole
    data: ThreadSavedData
    personal: ThreadSavedPersonal
