"""Signing certificates of Amazon SNS, fetched once and kept, and confirmations of subscriptions.

Only URLs that `sns.certificate_url` or `sns.confirmation_url` made or allowed come here.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
from cryptography import x509

from services.chassis.clock import Clock
from services.chassis.logging import log

_KEPT = 64
_LARGEST_BYTES = 65_536
_GOOD_FOR = timedelta(hours=24)
_BAD_FOR = timedelta(minutes=1)
_AT_ONCE = 4


class SnsCertificates:
    """A cache of certificates in this replica's memory. A URL without one is not asked again for a minute."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, base_url: str | None = None) -> None:
        """`base_url` is asked instead of Amazon, in the local stack."""
        self._client, self._clock, self._base = client, clock, base_url
        self._known: OrderedDict[str, tuple[datetime, bytes]] = OrderedDict()
        self._turns: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def get(self, url: str) -> bytes:
        """Return the PEM at `url`, b"" where there is no valid certificate; raises OSError."""
        if (known := self._found(url)) is not None:
            return known
        turn = self._turns.setdefault(url, asyncio.Lock())
        try:
            async with turn, self._room:
                if (known := self._found(url)) is not None:
                    return known
                certificate = await self._fetched(url)
                until = self._clock() + (_GOOD_FOR if certificate else _BAD_FOR)
                self._known[url] = (until, certificate)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
                return certificate
        finally:
            if not turn.locked():
                self._turns.pop(url, None)

    def _found(self, url: str) -> bytes | None:
        until, certificate = self._known.get(url, (None, b""))
        return certificate if until is not None and until > self._clock() else None

    async def _fetched(self, url: str) -> bytes:
        status, body = await self._ask(url)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ConnectionError(f"the certificate is not to be had: HTTP {status}")
        return body if status == httpx.codes.OK and self._is_valid(body) else b""

    def _is_valid(self, pem: bytes) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return False
        return certificate.not_valid_before_utc <= self._clock() <= certificate.not_valid_after_utc

    async def confirm(self, url: str) -> None:
        """Confirm the subscription; raises OSError unless Amazon says that it is confirmed."""
        status, _ = await self._ask(url)
        if status != httpx.codes.OK:
            raise ConnectionError(f"the subscription was not confirmed: HTTP {status}")
        log.info("subscription_confirmed")

    async def _ask(self, url: str) -> tuple[int, bytes]:
        try:
            async with self._client.stream("GET", self._reached_at(url), follow_redirects=False) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _LARGEST_BYTES:
                        return answer.status_code, b""
                return answer.status_code, body
        except httpx.HTTPError as error:
            raise ConnectionError(type(error).__name__) from error

    def _reached_at(self, url: str) -> str:
        if self._base is None:
            return url
        parts = urlsplit(url)
        return f"{self._base.rstrip('/')}{parts.path}" + (f"?{parts.query}" if parts.query else "")
