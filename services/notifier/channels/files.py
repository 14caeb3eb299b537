"""What senders of attachments share."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.common import Attachment
from services.chassis.filetypes import UNKNOWN, safe_name
from services.notifier.channels.sending import Means


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file with its bytes."""

    data: bytes
    content_type: str
    filename: str


def described(attachment: Attachment) -> tuple[str, str]:
    """Return the type and the name under which the file is sent."""
    content_type = attachment.content_type or UNKNOWN
    return content_type, safe_name(attachment.filename, content_type, "file")


async def load(means: Means, attachments: Sequence[Attachment]) -> list[LoadedFile]:
    """Return all files with their bytes. Raises Refused or Retry, before anything is sent."""
    if not attachments:
        return []
    with means.preparing():
        await means.preparing.room(sum(each.blob.size for each in attachments if each.blob is not None))
        return [LoadedFile(await means.files.read(each), *described(each)) for each in attachments]
