"""Files that people send us: the body alone, or one part of a form."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from urllib.parse import unquote
from uuid import UUID

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from services.chassis.attachments import Attachments, File, State
from services.chassis.body import read_body
from services.chassis.filetypes import safe_name, sniffed
from services.chassis.idempotency import key_reused
from services.chassis.problems import Problem, invalid
from services.chassis.settings import Settings
from services.chassis.time_limit import Limit

_FORM_BYTES = 100_000
"""Room for what a form has around its file."""
_MOST_FIELDS = 10


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent; its type and name are what the sender says."""

    data: bytes
    content_type: str | None = None
    filename: str | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


async def read_upload(request: Request, settings: Settings, slow: Limit) -> Upload:
    """Return the file in the request.

    `multipart/form-data` with one file, or the body itself with its Content-Type and its name in
    `Content-Disposition` (RFC 6266) or, percent-encoded, in `X-Filename`. Raises Problem 413, 408, 422.
    """
    most = settings.attachment_most_bytes
    kind = request.headers.get("content-type", "")
    form = kind.partition(";")[0].strip().lower() == "multipart/form-data"
    body = await read_body(request.headers, request.receive, most + (_FORM_BYTES if form else 0), slow)
    upload = await _of_form(request, body) if form else Upload(body, kind or None, _name(request))
    if len(upload.data) > most:
        raise Problem(413, "Content Too Large", f"a file may have at most {most} bytes")
    if not upload.data:
        raise invalid("file", "is empty")
    return upload


async def _of_form(request: Request, body: bytes) -> Upload:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MultiPartParser(request.headers, stream(), max_files=1, max_fields=_MOST_FIELDS)
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):  # ValueError: a charset that decodes nothing
        raise invalid("body", "is no form with one file") from None
    try:
        file = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
        if file is None:
            raise invalid("file", "is missing in the form")
        return Upload(await file.read(), file.content_type, file.filename)
    finally:
        await form.close()


def _name(request: Request) -> str | None:
    if given := request.headers.get("x-filename"):
        return unquote(given)
    disposition = Message()
    disposition["Content-Disposition"] = "".join(
        each for each in request.headers.get("content-disposition", "") if each.isprintable()
    )
    try:
        return disposition.get_filename()
    except (ValueError, LookupError, TypeError):
        return None


async def keep(
    upload: Upload, *, file_id: UUID, owner: str, attachments: Attachments, settings: Settings, at: datetime
) -> File:
    """Store the file for its owner, once by its id: another file under a known one is a Problem 422.

    So is a type that is not kept.
    """
    kind = await asyncio.to_thread(sniffed, upload.data, upload.content_type)
    if kind in refused_types(settings):
        raise invalid("file", f"files of the type {kind} are not taken")
    name = safe_name(upload.filename, kind, f"file-{str(file_id)[:8]}")
    blob = await attachments.blobs.put(upload.data, kind, name)
    file = File(str(file_id), State.STORED, owner, kind, name, blob.size, blob)
    known = await attachments.upload(file, at)
    if known.blob and known.blob.ref != blob.ref:
        await attachments.blobs.delete(blob.ref)
        if known.blob.sha256 != blob.sha256:
            raise key_reused()
    return known


def refused_types(settings: Settings) -> frozenset[str]:
    """Return the types (by their bytes) of files that are not kept."""
    return frozenset(filter(None, (kind.strip() for kind in settings.attachment_refused_types.split(","))))
