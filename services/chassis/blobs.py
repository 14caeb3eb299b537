"""Bytes too large for a record: immutable, named by reference and hash, in one store for all services."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import obstore
from gridfs import AsyncGridFSBucket, NoFile
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from schemas.common import BlobRef
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings

SHARED = "files"
"""The database that all services reach: blobs, and what is known of attachments."""
_PART_BYTES = 262_144
_CONNECT, _ANSWER = timedelta(seconds=2), timedelta(seconds=10)
_RETRIES = 2


class BlobMissing(LookupError):  # noqa: N818  (a state, raised)
    """The store has no such blob."""


class BlobStoreUnavailable(OSError):  # noqa: N818  (a state, raised)
    """The store did not take or give the bytes; trying again may help."""


class BlobStore(Protocol):
    """Keeps immutable bytes."""

    async def put(self, data: bytes, content_type: str | None = None, filename: str | None = None) -> BlobRef:
        """Store `data` and return where it is. The same bytes may be stored more than once."""

    def read(self, ref: str) -> AsyncIterator[bytes]:
        """Give the bytes in parts. Raises BlobMissing before the first."""

    async def delete(self, ref: str) -> None:
        """Forget the bytes; of a reference that is unknown, nothing."""


async def contents(store: BlobStore, ref: str) -> bytes:
    """Return all bytes of a blob. Raises BlobMissing."""
    return b"".join([part async for part in store.read(ref)])


def shared_database(settings: Settings) -> Database:
    """Return the database that all services reach."""
    return connect(settings, SHARED)


def blob_store(settings: Settings, shared: Database) -> BlobStore:
    """Return the store that BLOB_STORE names. Raises ValueError for a URL that names none.

    `gridfs:` in the shared database; `file:///directory`; `s3://bucket/prefix?endpoint=…&region=…`, with
    the credentials of AWS's own variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, roles of the pod, …).
    """
    url = urlsplit(settings.blob_store)
    if url.scheme == "gridfs":
        return GridFsBlobs(shared)
    if url.scheme == "file" and url.path.startswith("/") and not url.netloc:
        directory = Path(unquote(url.path))
        return ObjectBlobs(lambda: LocalStore(directory, mkdir=True))
    if url.scheme == "s3" and url.netloc:
        return ObjectBlobs(lambda: _s3(url.netloc, url.path.strip("/"), url.query))
    message = f"BLOB_STORE: {url.scheme}: is none of gridfs:, file:///directory, s3://bucket?endpoint=…"
    raise ValueError(message)


def _s3(bucket: str, prefix: str, query: str) -> ObjectStore:
    given = {name: values[0] for name, values in parse_qs(query).items()}
    endpoint = given.get("endpoint")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={
            "region": given.get("region", "us-east-1"),
            **({"endpoint": endpoint} if endpoint else {}),
        },
        client_options={
            "allow_http": bool(endpoint and endpoint.startswith("http:")),
            "connect_timeout": _CONNECT,
            "timeout": _ANSWER,
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": _ANSWER},
    )


def named(data: bytes, ref: str, content_type: str | None, filename: str | None) -> BlobRef:
    """Return the record of bytes that are kept under `ref`."""
    digest = hashlib.sha256(data).hexdigest()
    return BlobRef(ref=ref, sha256=digest, size=len(data), content_type=content_type, filename=filename)


class GridFsBlobs:
    """Blobs in MongoDB."""

    def __init__(self, database: Database) -> None:
        self._bucket = AsyncGridFSBucket(database, bucket_name="blobs")

    async def put(self, data: bytes, content_type: str | None = None, filename: str | None = None) -> BlobRef:
        """Store `data`; see BlobStore."""
        ref = uuid4().hex
        await self._bucket.upload_from_stream_with_id(ref, filename or "blob", data)
        return named(data, ref, content_type, filename)

    async def read(self, ref: str) -> AsyncIterator[bytes]:
        """Give the bytes; see BlobStore."""
        try:
            stream = await self._bucket.open_download_stream(ref)
        except NoFile:
            raise BlobMissing(ref) from None
        while part := await stream.readchunk():
            yield bytes(part)

    async def delete(self, ref: str) -> None:
        """Forget the bytes; see BlobStore."""
        try:
            await self._bucket.delete(ref)
        except NoFile:
            return


class ObjectBlobs:
    """Blobs as objects of a bucket, or files of a directory."""

    def __init__(self, make: Callable[[], ObjectStore]) -> None:
        self._make = make
        self._made: ObjectStore | None = None

    @property
    def _store(self) -> ObjectStore:
        if self._made is None:
            self._made = self._make()
        return self._made

    async def put(self, data: bytes, content_type: str | None = None, filename: str | None = None) -> BlobRef:
        """Store `data`; see BlobStore."""
        ref = uuid4().hex
        async with _told_apart():
            await obstore.put_async(self._store, _path(ref), data, use_multipart=False)
        return named(data, ref, content_type, filename)

    async def read(self, ref: str) -> AsyncIterator[bytes]:
        """Give the bytes; see BlobStore."""
        async with _told_apart():
            found = await obstore.get_async(self._store, _path(ref))
            async for part in found.stream(min_chunk_size=_PART_BYTES):
                yield bytes(part)

    async def delete(self, ref: str) -> None:
        """Forget the bytes; see BlobStore."""
        try:
            async with _told_apart():
                await obstore.delete_async(self._store, _path(ref))
        except BlobMissing:
            return


def _path(ref: str) -> str:
    """Return the object's name, in one of 256 folders; a reference of another form has none."""
    if not (ref.isascii() and ref.isalnum()):
        raise BlobMissing(ref)
    return f"{ref[:2]}/{ref}"


@asynccontextmanager
async def _told_apart() -> AsyncIterator[None]:
    """Turn the library's errors into ours: what is not there, and what may work later."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobMissing(str(error)[:100]) from None
    except (BaseError, OSError) as error:
        raise BlobStoreUnavailable(type(error).__name__) from error
