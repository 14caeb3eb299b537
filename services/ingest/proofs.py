"""What it takes to prove some requests besides the request: a certificate, whether it was seen before."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from services.chassis.accounts import Account
from services.ingest.channels.registry import Provider
from services.ingest.webhook import Nonce, Webhook

_AHEAD = timedelta(minutes=5)
"""How far the provider's clock may be before ours."""
_LARGE_BYTES = 262_144
Result = TypeVar("Result")


async def examined(webhook: Webhook, work: Callable[[], Result]) -> Result:
    """Return what `work` makes of the webhook: of a large one beside the event loop."""
    return work() if len(webhook.body) < _LARGE_BYTES else await asyncio.to_thread(work)


class Certificates(Protocol):
    """Fetches what providers' requests name; see certificates.py."""

    def get(self, url: str) -> Awaitable[bytes]:
        """Return the PEM at `url`, b"" when there is none; raises OSError where nobody answers."""

    def confirm(self, url: str) -> Awaitable[None]:
        """Ask `url`, which confirms a subscription; raises OSError when it was not confirmed."""


class Nonces(Protocol):
    """Remembers which nonces came with what."""

    def admit(self, name: str, content: str, until: datetime) -> Awaitable[bool]:
        """Remember the nonce until then; return whether it is new, or came with the same content."""


@dataclass(frozen=True)
class Proofs:
    """Proves requests whose signature alone does not."""

    certificates: Certificates
    nonces: Nonces
    nonce_lifetime: timedelta
    """How old a nonce may be. Longer than the provider tries again: it may do so with the same one."""

    async def with_certificate(self, row: Provider, webhook: Webhook, account: Account) -> Webhook:
        """Return the webhook with the certificate it names, if its provider signs with one."""
        if (asked := row.certificate_url) is None:
            return webhook
        url = await examined(webhook, lambda: asked(webhook, account))
        return replace(webhook, certificate=await self.certificates.get(url)) if url else webhook

    async def admits(self, row: Provider, webhook: Webhook, account: Account, now: datetime) -> bool:
        """Tell whether a verified webhook is no replay of a former one with another content."""
        if (named := row.nonce) is None:
            return True
        nonce = await examined(webhook, lambda: named(webhook))
        if nonce is None or not self._is_recent(nonce, now):
            return False
        name = f"{account.provider}/{account.account}/{nonce.value}"
        return await self.nonces.admit(
            name, nonce.content, nonce.signed_at + self.nonce_lifetime + 2 * _AHEAD
        )

    def _is_recent(self, nonce: Nonce, now: datetime) -> bool:
        return nonce.signed_at - _AHEAD <= now <= nonce.signed_at + self.nonce_lifetime

    async def confirm(self, row: Provider, webhook: Webhook) -> None:
        """Confirm the subscription that a verified webhook asks for, if it does."""
        if row.confirmation_url and (url := row.confirmation_url(webhook)):
            await self.certificates.confirm(url)
