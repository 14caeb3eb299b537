"""One request to an endpoint: signed, without redirects, bounded in time and in what is read."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from services.chassis.clock import Clock, utc_now
from services.chassis.outside import Forbidden
from services.notifier.webhooks import signing
from services.notifier.webhooks.rules import Answer, Endpoint, Post

_READ_BYTES = 16_384
"""Of an answer's body, which says nothing to us; so that the connection can be used again."""
_LONGEST_WAIT = timedelta(days=30)


class NotMadeError(Exception):
    """No request was made, for want of a connection of ours: it does not count."""


@dataclass(frozen=True)
class Requests:
    """Asks endpoints."""

    client: httpx.AsyncClient
    seconds: float
    """Longest time of a request."""
    clock: Clock = utc_now

    async def __call__(self, endpoint: Endpoint, post: Post) -> Answer:
        """Return what the endpoint said to the event. Raises NotMadeError."""
        now, body = self.clock(), post.body or b""
        headers = {
            "Content-Type": "application/json",
            **signing.headers(post.event, now, body, endpoint.valid_secrets(now)),
        }
        try:
            async with asyncio.timeout(self.seconds):
                return await self._ask(endpoint.url, body, headers)
        except httpx.PoolTimeout as error:
            raise NotMadeError from error
        except (TimeoutError, httpx.TimeoutException):
            return Answer(error="timeout")
        except Forbidden:
            return Answer(error="forbidden_address")
        except httpx.ConnectError:
            return Answer(error="not_connected")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            return Answer(error="broken_answer")

    async def _ask(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        async with self.client.stream(
            "POST", url, content=body, headers=headers, follow_redirects=False
        ) as answer:
            said = _answer(answer, self.clock)
            read = 0
            async for part in answer.aiter_raw():
                read += len(part)
                if read > _READ_BYTES:
                    break
            return said


def _answer(answer: httpx.Response, clock: Callable[[], datetime]) -> Answer:
    status = answer.status_code
    if answer.is_success:
        return Answer(status)
    error = "redirect" if answer.is_redirect else "refused"
    return Answer(status, error, retry_after(answer.headers.get("retry-after", ""), clock()))


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Return the pause that a Retry-After header asks for, in seconds or as a date (RFC 9110, 10.2.3)."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
        return min(timedelta(seconds=min(seconds, _LONGEST_WAIT.total_seconds())), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    if not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(timedelta(seconds=seconds), _LONGEST_WAIT)
