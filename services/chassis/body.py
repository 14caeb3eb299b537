"""Reading a request's body without trusting its size or its pace."""

from collections.abc import Mapping

from starlette.types import Receive

from services.chassis.problems import Problem
from services.chassis.time_limit import Limit

_CLOSE = {"Connection": "close"}


async def read_body(headers: Mapping[str, str], receive: Receive, limit_bytes: int, limit: Limit) -> bytes:
    """Return the body.

    Raises Problem 413 for one larger than `limit_bytes`, at once if its Content-Length says so,
    408 when it is not complete in time, 400 when the sender goes away.
    """
    declared = headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise Problem(400, "Bad Request", "Content-Length is not a number", headers=_CLOSE)
    if len(declared) > 18 or int(declared) > limit_bytes:  # noqa: PLR2004  (digits of 2**63: more need no reading)
        raise _too_large(limit_bytes)
    try:
        return await limit.on(_counted(receive, limit_bytes))
    except TimeoutError:
        detail = f"the body was not complete after {limit.seconds:g} seconds"
        raise Problem(408, "Request Timeout", detail, headers=_CLOSE) from None


async def _counted(receive: Receive, limit_bytes: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "Bad Request", "the connection ended before the body did", headers=_CLOSE)
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _too_large(limit_bytes: int) -> Problem:
    return Problem(413, "Content Too Large", f"the body may have at most {limit_bytes} bytes", headers=_CLOSE)
