"""Giving a file out, so that nothing in it can act on our origin."""

from collections.abc import AsyncIterator

from fastapi import Response
from fastapi.responses import StreamingResponse

from services.chassis.attachments import REASONS, File, State
from services.chassis.blobs import BlobMissing, BlobStore
from services.chassis.filetypes import SERVED, UNKNOWN, content_disposition, is_shown, safe_name
from services.chassis.problems import Problem

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, max-age=3600",
}


async def served(file: File, blobs: BlobStore) -> Response:
    """Return the file's bytes as an answer.

    Raises Problem 409 while it is still to be fetched, 410 with the reason when it never will be there.
    """
    if file.state is State.PENDING:
        raise pending()
    if file.state is State.REFUSED or file.blob is None:
        raise refused(file.reason or "lost")
    parts = blobs.read(file.blob.ref)
    try:
        first = await anext(parts, b"")
    except BlobMissing:
        raise refused("lost") from None
    kind = file.content_type if file.content_type in SERVED else UNKNOWN
    name = safe_name(file.filename, kind, f"file-{file.id[:8]}")
    headers = {
        **HEADERS,
        "Content-Length": str(file.blob.size),
        "Content-Disposition": content_disposition(name, shown=is_shown(kind)),
    }
    return StreamingResponse(_all(first, parts), media_type=kind, headers=headers)


async def _all(first: bytes, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in parts:
        yield part


def pending() -> Problem:
    """409: the file is not there yet."""
    return Problem(
        409,
        "Conflict",
        "the file is still being fetched from the provider; try again",
        kind="attachment-pending",
        state=State.PENDING,
        headers={"Retry-After": "2"},
    )


def refused(reason: str) -> Problem:
    """410: the file will never be there."""
    return Problem(
        410, "Gone", REASONS.get(reason, REASONS["unavailable"]), kind="attachment-refused", state=reason
    )
