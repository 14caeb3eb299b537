"""Reading a request's body without trusting its size or its pace."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from services.chassis.problems import Problem

_CLOSE = {"Connection": "close"}


async def read_body(request: Request, limit_bytes: int, seconds: float) -> bytes:
    """Return the body.

    Raises Problem 413 for one larger than `limit_bytes`, at once if its Content-Length says so,
    408 when it is not complete after `seconds`, 400 when the sender goes away.
    """
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise Problem(400, "Bad Request", "Content-Length is not a number", headers=_CLOSE)
    if len(declared) > 18 or int(declared) > limit_bytes:  # noqa: PLR2004  (digits of 2**63: more need no reading)
        raise _too_large(limit_bytes)
    try:
        async with asyncio.timeout(seconds):
            return await _counted(request, limit_bytes)
    except TimeoutError:
        detail = f"the body was not complete after {seconds:g} seconds"
        raise Problem(408, "Request Timeout", detail, headers=_CLOSE) from None
    except ClientDisconnect:
        raise Problem(
            400, "Bad Request", "the connection ended before the body did", headers=_CLOSE
        ) from None


async def _counted(request: Request, limit_bytes: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit_bytes: int) -> Problem:
    return Problem(413, "Content Too Large", f"the body may have at most {limit_bytes} bytes", headers=_CLOSE)
