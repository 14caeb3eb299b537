"""A key for each Customer, and what is left of one that was destroyed: see docs/decisions/0018.

The collection `keys` of the shared database, by home Customer. A document has `key` (wrapped), or, once the
Customer is erased, `erased_at` instead: one document, so a key is never made where a tombstone is.
"""

import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bson import Binary
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from pymongo import UpdateOne
from pymongo.read_concern import ReadConcern

from services.chassis.mongo import Database, Document, bulk

COLLECTION = "keys"
CACHE_SECONDS = 10.0
"""A destroyed key is out of use everywhere after so long; what is promised is 30."""
_KEY_BYTES = 32
_MOST_CACHED = 20_000


class KeyFault(OSError):  # noqa: N818  (a fault of ours, raised)
    """A key cannot be had, though no tombstone says why: CUSTOMER_KEYS_SECRET differs, or data is missing.

    A fault of ours: what needs the key is tried again.
    """


@dataclass(frozen=True, slots=True)
class Key:
    """A Customer's key; `cipher` None: it was destroyed, for the Customer is erased."""

    cipher: AESGCM | None

    @property
    def destroyed(self) -> bool:
        """The Customer is erased."""
        return self.cipher is None


@dataclass
class CustomerKeys:
    """Finds, makes and destroys keys. Those in use are remembered for CACHE_SECONDS."""

    shared: Database
    secret: str
    cache_seconds: float = CACHE_SECONDS
    _known: OrderedDict[str, tuple[float, Key]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._keys = self.shared.get_collection(COLLECTION, read_concern=ReadConcern("majority"))
        self._wrapping = _derived(self.secret, b"parley wrapping of Customers' keys")
        self._pepper = _derived(self.secret, b"parley hashes of erased identifiers")

    def hashed(self, name: str) -> str:
        """Return a keyed hash (HMAC-SHA256, hex): `name` is known again by it, and not found from it."""
        return hmac.digest(self._pepper, name.encode(), "sha256").hex()

    async def find(self, homes: Iterable[str]) -> dict[str, Key]:
        """Return the keys that there are or were; Customers without are left out. Raises KeyFault."""
        wanted, now = set(homes), time.monotonic()
        found = {home: key for home in wanted if (key := self._remembered(home, now)) is not None}
        missing = wanted - found.keys()
        if missing:
            found |= self._remember(await self._read(missing), now)
        return found

    async def have(self, homes: Iterable[str]) -> dict[str, Key]:
        """Return the keys of all of `homes`; those that never had one get one. Raises KeyFault."""
        wanted = set(homes)
        found = await self.find(wanted)
        missing = wanted - found.keys()
        if not missing:
            return found
        await bulk(
            self._keys,
            [
                UpdateOne({"_id": home}, {"$setOnInsert": {"key": self._fresh()}}, upsert=True)
                for home in missing
            ],
        )
        found |= self._remember(await self._read(missing), time.monotonic())
        if wanted - found.keys():
            raise KeyFault("a key that was just made is not there")
        return found

    async def destroy(self, homes: Collection[str], at: datetime) -> None:
        """Destroy the keys of these Customers for ever; `at` is when they were erased."""
        await bulk(
            self._keys,
            [
                UpdateOne({"_id": home}, {"$unset": {"key": ""}, "$min": {"erased_at": at}}, upsert=True)
                for home in homes
            ],
        )
        self._remember({home: Key(None) for home in homes}, time.monotonic())

    async def _read(self, homes: Collection[str]) -> dict[str, Key]:
        rows = self._keys.find({"_id": {"$in": sorted(homes)}})
        return {row["_id"]: self._opened(row) async for row in rows}

    def _opened(self, row: Document) -> Key:
        if "erased_at" in row:
            return Key(None)
        try:
            return Key(AESGCM(aes_key_unwrap(self._wrapping, bytes(row["key"]))))
        except (InvalidUnwrap, KeyError, ValueError) as error:
            raise KeyFault(
                "a Customer's key cannot be unwrapped: is CUSTOMER_KEYS_SECRET another?"
            ) from error

    def _fresh(self) -> Binary:
        return Binary(aes_key_wrap(self._wrapping, os.urandom(_KEY_BYTES)))

    def _remembered(self, home: str, now: float) -> Key | None:
        read_at, key = self._known.get(home, (0.0, None))
        return key if key is not None and (key.destroyed or now - read_at < self.cache_seconds) else None

    def _remember(self, found: Mapping[str, Key], now: float) -> Mapping[str, Key]:
        for home, key in found.items():
            self._known[home] = (now, key)
            self._known.move_to_end(home)
        while len(self._known) > _MOST_CACHED:
            self._known.popitem(last=False)
        return found


def _derived(secret: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose).derive(secret.encode())
