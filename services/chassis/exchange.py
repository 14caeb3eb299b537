"""One request and its answer, bounded in size and time."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

_INFLATED_AT_ONCE = 65_536
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 47
"""zlib's word for: by the first bytes."""


class TooLarge(httpx.RequestError):
    """The answer is larger than what was asked for; the rest of it was not read."""


async def exchange(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    most_bytes: int,
    seconds: float,
    **content: Any,  # noqa: ANN401  (httpx's own parameters)
) -> httpx.Response:
    """Return the answer, of at most `most_bytes` (unpacked, if it comes compressed), within `seconds`.

    Raises TooLarge, Forbidden or another RequestError, TimeoutError, InvalidURL.
    """
    async with asyncio.timeout(seconds), client.stream(method, url, **content) as answer:
        body = b"".join([part async for part in _bounded(answer, most_bytes)])
        headers = [pair for pair in answer.headers.raw if pair[0].lower() != b"content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=body, request=answer.request)


async def _bounded(answer: httpx.Response, most_bytes: int) -> AsyncIterator[bytes]:
    declared = answer.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > most_bytes):  # noqa: PLR2004  (digits of 2**63)
        raise TooLarge(f"more than {most_bytes} bytes", request=answer.request)
    packed, size, raw = answer.headers.get("content-encoding", "").strip().lower(), 0, 0
    if packed not in (*_COMPRESSED, "", "identity"):
        raise httpx.DecodingError("an encoding we did not ask for", request=answer.request)
    unpacked = _Unpacked() if packed in _COMPRESSED else None
    async for part in _raw(answer):
        raw += len(part)
        for piece in unpacked.parts(part) if unpacked else (part,):
            size += len(piece)
            if max(size, raw) > most_bytes:
                raise TooLarge(f"more than {most_bytes} bytes", request=answer.request)
            yield piece
    if unpacked and not unpacked.complete:
        raise httpx.DecodingError("the compressed answer is broken off", request=answer.request)


async def _raw(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Give the body as it came; of a response that was made with its content, that content."""
    if answer.is_stream_consumed:
        yield answer.content
        return
    async for part in answer.aiter_raw():
        yield part


class _Unpacked:
    """Unpacks gzip and zlib in small steps, so that a bomb is seen before it has gone off."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        self._begun = False

    @property
    def complete(self) -> bool:
        return self._inflate.eof or not self._begun

    def parts(self, packed: bytes) -> Iterator[bytes]:
        full = True
        while packed or (full and not self._inflate.eof):
            if self._inflate.eof:  # gzip may have several members
                self._inflate = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
            self._begun = True
            try:
                piece = self._inflate.decompress(packed, _INFLATED_AT_ONCE)
            except zlib.error:
                raise httpx.DecodingError("the compressed answer is broken") from None
            packed = self._inflate.unconsumed_tail or self._inflate.unused_data
            full = len(piece) == _INFLATED_AT_ONCE
            yield piece
