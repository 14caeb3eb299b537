"""Which files of a message are to be fetched, and what becomes of a try. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from schemas.common import Attachment
from schemas.ids import attachment_id, recording_id
from schemas.inbound import MessageReceived


class Place(StrEnum):
    """Where a file is to be found."""

    URL = "url"
    MEDIA = "media"
    """Behind an id that the provider turns into a URL."""
    PART = "part"
    """In the raw mail, in our own store."""
    BLOB = "blob"
    """In our own store already; only its type is still to be told."""
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Job:
    """One file to fetch. Its id is the attachment's."""

    id: str
    provider: str
    account: str
    place: Place
    where: str
    """The URL, the media id, or the blob's reference."""
    index: int
    created_at: datetime
    content_type: str | None = None
    filename: str | None = None
    attempts: int = 0


class GivenUp(Exception):  # noqa: N818  (an outcome, raised)
    """The file will never be there; `reason` is one of `attachments.REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Later(Exception):  # noqa: N818  (an outcome, raised)
    """Not now; try again, after `after_seconds` if the provider says so.

    `reason`, one of `attachments.REASONS`, is why the file is not there when patience ends.
    """

    def __init__(
        self, cause: str, after_seconds: float | None = None, *, reason: str = "unavailable"
    ) -> None:
        super().__init__(cause)
        self.after_seconds = after_seconds
        self.reason = reason


def jobs(message: MessageReceived, looked_up: frozenset[str]) -> Iterator[Job]:
    """Give a job for each file of the message that is not an upload, which is stored already.

    `looked_up` are the providers that turn a media id into a URL.
    """
    personal = message.personal
    for index, attachment in enumerate(personal.attachments):
        if attachment.id is not None:
            continue
        if attachment.blob is not None:
            place, where = Place.BLOB, attachment.blob.ref
        elif attachment.media_id and message.data.provider in looked_up:
            place, where = Place.MEDIA, attachment.media_id
        elif attachment.url:
            place, where = Place.URL, attachment.url
        elif personal.raw is not None:
            place, where = Place.PART, personal.raw.ref
        else:
            place, where = Place.NOWHERE, ""
        yield Job(
            id=_id(message, index, attachment),
            provider=message.data.provider,
            account=message.data.account,
            place=place,
            where=where,
            index=index,
            created_at=message.data.received_at,
            content_type=attachment.content_type,
            filename=attachment.filename,
        )


def _id(message: MessageReceived, index: int, attachment: Attachment) -> str:
    call = message.data.call
    if call is not None and attachment.media_id:
        return str(recording_id(call.call_id, attachment.media_id))
    return str(attachment_id(message.id, index))


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and for how long a file is asked for."""

    first: timedelta
    most: timedelta
    limit: timedelta


def next_try(job: Job, now: datetime, patience: Patience, after_seconds: float | None) -> datetime | None:
    """Return when to try again, twice as long as the last time; None when it is enough.

    `job.attempts` counts the tries made.
    """
    wait = min(patience.first * 2 ** min(job.attempts - 1, 20), patience.most)
    if after_seconds is not None:
        asked = min(after_seconds, patience.most.total_seconds())  # whatever number a provider writes
        wait = max(wait, timedelta(seconds=asked))
    due = now + wait
    return due if due - job.created_at <= patience.limit else None
