"""Every provider's webhooks: nothing raises, and all that would be published is as its topic says.

An input is the query of the URL on the first line, what proves the request on the second, then the body.
"""

import hashlib
from collections.abc import Coroutine, Iterator, Sequence
from functools import cache
from typing import Any

from schemas.common import BlobRef
from schemas.topics import TOPICS
from services.chassis.accounts import Account, Accounts
from services.chassis.broker import Outgoing
from services.ingest.channels.registry import PROVIDERS, Provider
from services.ingest.handlers import Intake
from services.ingest.webhook import Arrival, Item, Unreadable, Webhook
from tests import recorded
from tests.unit.ingest.conftest import ACCOUNTS, CORRELATION, MENUS, NOW
from tests.unit.ingest.test_verify import PROOFS, SECRETS

LARGEST_RECORD_BYTES = 900_000
"""Kafka takes a megabyte."""
_OURS = Accounts(ACCOUNTS)
_TOPICS = {topic.name: topic for topic in TOPICS}


class Records:
    """A Kafka that holds each record against its topic."""

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        for each in batch:
            _TOPICS[each.topic].adapter.validate_json(each.value)
            assert each.key.encode()
            assert len(each.value) <= LARGEST_RECORD_BYTES, f"{each.topic}: {len(each.value)} bytes"


class Blobs:
    """A blob store that forgets."""

    async def put(self, data: bytes, content_type: str | None = None) -> BlobRef:
        return BlobRef(
            ref="1", sha256=hashlib.sha256(data).hexdigest(), size=len(data), content_type=content_type
        )


_INTAKE = Intake(_OURS, Records(), Blobs(), lambda: NOW, lambda: CORRELATION, menus=MENUS)


def check(provider: str, data: bytes) -> None:
    """Send `data` to the provider's account, in each media type that is recorded of the provider."""
    row = PROVIDERS[provider]
    query, _, rest = data.partition(b"\n")
    proof, _, body = rest.partition(b"\n")
    for kind in _types(provider):
        headers = {**dict.fromkeys(PROOFS, proof.decode("latin-1")), "content-type": kind}
        path = f"/ingest/v1/{provider}/demo"
        webhook = Webhook("POST", path, query.decode("latin-1"), headers, body, "https://hooks.example.com")
        _verified(row, webhook)
        _read(row, webhook)


def _verified(row: Provider, webhook: Webhook) -> None:
    stranger = _stranger(row.name)
    assert row.verify(webhook, stranger) is False
    if row.greet:
        row.greet(webhook, stranger)
    if row.certificate_url:
        row.certificate_url(webhook, stranger)


@cache
def _stranger(provider: str) -> Account:
    """Return an account whose secrets no input can hold."""
    return Account(
        provider=provider,
        account="demo",
        channel="sms",
        address="+15550001111",
        inbox="support",
        secrets=dict.fromkeys(SECRETS, "a secret that was never told"),
    )


def _read(row: Provider, webhook: Webhook) -> None:
    account = next(each for each in ACCOUNTS if each.provider == row.name)
    arrival = Arrival(account, _OURS, NOW, CORRELATION, MENUS)
    items = list(row.parse(webhook, arrival))
    for item in items:
        _sound(item)
    _finish(_INTAKE.publish(items, arrival, webhook.content_type))
    if row.answering:
        row.answering(webhook, arrival).encode()


def _sound(item: Item) -> None:
    if isinstance(item, Unreadable):
        assert item.reason
    else:
        assert item.value == item.record.json_bytes()


def _finish(work: Coroutine[Any, Any, object]) -> None:
    """Run what never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


@cache
def _types(provider: str) -> list[str]:
    kinds = {path.suffix for path in recorded.payloads() if path.parent.name == provider}
    return [recorded.TYPES[each] for each in sorted(kinds)]


def seeds(provider: str) -> Iterator[bytes]:
    """Give what is recorded of the provider."""
    for path in recorded.payloads():
        if path.parent.name == provider:
            yield f"{recorded.query(path)}\n\n".encode() + path.read_bytes()
    for name, made in recorded.signatures():
        if name == provider:
            for proof in made["headers"].values():
                yield f"{made.get('query', '')}\n{proof}\n{made['body']}".encode()
