"""Personal parts of records, encrypted with the home Customer's key: see docs/decisions/0018.

A sealed record is the record without `personal`, and `sealed` in its place, as the last member:
`{…, "sealed": {"key": "<home Customer>", "data": "<base64>"}}`. `data` is a nonce of 12 bytes and the
personal part as AES-256-GCM makes it, with the topic and all other bytes of the record authenticated: a
sealed part fits nowhere else. Large parts are compressed before (`"packed": true`).
"""

import json
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from schemas.topics import TOPICS
from services.chassis.broker import Outgoing
from services.chassis.keys import CustomerKeys, Key, KeyFault

SEALED = frozenset(topic.name for topic in TOPICS if topic.sealed)
"""Topics whose personal parts are sealed."""
_NONCE_BYTES = 12
_PACKED_FROM = 8_192
"""Bytes from which compressing pays, and keeps a large record within what a broker takes."""
_MOST_UNPACKED = 8_000_000
_MARK, _PERSONAL = b',"sealed":', b'"personal":'


class Unopened(Enum):
    """Why a record could not be opened."""

    ERASED = "erased"
    """Its Customer is erased: nobody will ever read it."""
    BROKEN = "broken"
    """It is not what was sealed."""


@dataclass(frozen=True)
class Seals:
    """Seals and opens batches: one query for all keys that are not at hand."""

    keys: CustomerKeys

    async def seal(self, batch: Sequence[Outgoing]) -> list[Outgoing]:
        """Return the batch as it goes out. What is of an erased Customer is left out, sealed or not to be.

        Raises KeyFault, or what the database raises. A personal part without a home is a bug: ValueError.
        """
        parts = [_cut(record.value) if record.topic in SEALED else None for record in batch]
        homes = {part.home for part in parts if part is not None}
        if not homes:
            return list(batch)
        keys = await self.keys.have(homes)
        out = []
        for record, part in zip(batch, parts, strict=True):
            if part is None:
                out.append(record)
            elif (cipher := keys[part.home].cipher) is not None:
                out.append(Outgoing(record.topic, record.key, _sealed(record.topic, part, cipher)))
        return out

    async def open(self, records: Sequence[tuple[str, bytes]]) -> list[bytes | Unopened]:
        """Return each record, given with its topic, as it was before it was sealed.

        Records that never were sealed, of an earlier release, are given back, unless their Customer is
        erased. Raises KeyFault where a key is missing and no tombstone says why.
        """
        parts = [_split(topic, value) for topic, value in records]
        homes = {part if isinstance(part, str) else part.home for part in parts if part is not None}
        keys = await self.keys.find(homes) if homes else {}
        opened: list[bytes | Unopened] = []
        for (topic, value), part in zip(records, parts, strict=True):
            if part is None:
                opened.append(value)
            elif isinstance(part, str):
                opened.append(Unopened.ERASED if part in keys and keys[part].destroyed else value)
            else:
                opened.append(_opened(topic, part, keys.get(part.home)))
        return opened


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A sealed record, taken apart."""

    head: bytes
    home: str
    data: bytes
    packed: bool


@dataclass(frozen=True, slots=True)
class _Plain:
    """A record to be sealed, cut in two."""

    head: bytes
    home: str
    personal: bytes


def _cut(value: bytes) -> _Plain | None:
    """Return the parts of a record; None for one without a personal part.

    Our models write it last, so what follows need not be read: put back behind what stands before it, it
    is the same record again. Where what stands before is no record with a home, the whole is read.
    """
    if _PERSONAL not in value:
        return None
    head, _, personal = value.partition(b"," + _PERSONAL)
    try:
        home = from_json(head + b"}").get("home")
    except ValueError:
        home = None
    return _Plain(head, home, personal[:-1]) if isinstance(home, str) and personal else _read(value)


def _read(value: bytes) -> _Plain | None:
    content = from_json(value)
    if "personal" not in content:
        return None
    personal = to_json(content.pop("personal"))
    home = content.get("home")
    if not isinstance(home, str):
        message = f"a {content.get('type')} has a personal part and no home Customer to seal it for"
        raise ValueError(message)  # noqa: TRY004  (a bug of the producer, not of a type)
    return _Plain(to_json(content)[:-1], home, personal)


def _sealed(topic: str, part: _Plain, cipher: AESGCM) -> bytes:
    packed = len(part.personal) >= _PACKED_FROM
    nonce = os.urandom(_NONCE_BYTES)
    held = zlib.compress(part.personal, 1) if packed else part.personal
    box = cipher.encrypt(nonce, held, _bound(topic, part.head))
    end = {"key": part.home, "data": b64encode(nonce + box).decode()}
    return part.head + _MARK + to_json(end | {"packed": True} if packed else end) + b"}"


def _bound(topic: str, head: bytes) -> bytes:
    return topic.encode() + b"\0" + head


def _split(topic: str, value: bytes) -> _Sealed | str | None:
    """Return the parts of a sealed record, the home of one with a plain personal part, None for others."""
    if topic not in SEALED:
        return None
    head, mark, end = value.rpartition(_MARK)
    try:
        if mark:
            told = from_json(end[:-1])
            return _Sealed(head, told["key"], b64decode(told["data"], validate=True), "packed" in told)
        if _PERSONAL in value:
            home = json.loads(value).get("home")
            return home if isinstance(home, str) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # whoever decodes it will say so
    return None


def _opened(topic: str, part: _Sealed, key: Key | None) -> bytes | Unopened:
    if key is None:
        raise KeyFault("a record is sealed with a key that is not there, and no tombstone says why")
    if key.cipher is None:
        return Unopened.ERASED
    nonce, box = part.data[:_NONCE_BYTES], part.data[_NONCE_BYTES:]
    try:
        personal = key.cipher.decrypt(nonce, box, _bound(topic, part.head))
        if part.packed:
            personal = zlib.decompressobj().decompress(personal, _MOST_UNPACKED)
    except (InvalidTag, ValueError, zlib.error):
        return Unopened.BROKEN
    return part.head + b"," + _PERSONAL + personal + b"}"
