"""All that a service holds of a Customer, as one JSON object, written as it is read: see docs/privacy.md."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import StreamingResponse

from schemas.envelope import rfc3339
from services.chassis.mongo import Collection, Document

Homes = Annotated[
    list[str],
    Query(alias="home", max_length=200, description="all Customers who are the person"),
]
_CHUNK_BYTES = 65_536


def found(collection: Collection, query: Document, without: Sequence[str] = ()) -> AsyncIterator[Document]:
    """Give the documents, without these fields."""
    return aiter(collection.find(query, dict.fromkeys(without, 0) or None))


def exported(parts: Mapping[str, AsyncIterator[Any]]) -> StreamingResponse:
    """Answer with an object of lists, one by one as they are read."""
    return StreamingResponse(_chunked(_object(parts)), media_type="application/json")


async def _object(parts: Mapping[str, AsyncIterator[Any]]) -> AsyncIterator[bytes]:
    begin = b"{"
    for name, items in parts.items():
        yield begin + json.dumps(name).encode() + b":["
        between = b""
        async for item in items:
            yield between + encoded(item)
            between = b","
        yield b"]"
        begin = b","
    yield b"}"


async def _chunked(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Put small parts together: each costs a write."""
    held = bytearray()
    async for part in parts:
        held += part
        if len(held) >= _CHUNK_BYTES:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def encoded(item: object) -> bytes:
    """Return a document as JSON, its times as everywhere, its bytes as text where they are text."""
    return json.dumps(item, default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return b64encode(value).decode()
    return str(value)
