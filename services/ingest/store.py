"""Visitors and nonces in MongoDB. Either is forgotten when it ends."""

from datetime import datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from schemas.common import Identifier
from services.chassis.mongo import Database
from services.ingest.visitors import VisitorRecord


class MongoVisitors:
    """The collection `visitors`; see VisitorStore."""

    def __init__(self, database: Database) -> None:
        self._collection = database["visitors"]

    async def prepare(self) -> None:
        """Create the index that forgets visitors."""
        await self._collection.create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)

    async def add(self, visitor: VisitorRecord) -> None:
        """Store a new visitor."""
        document: dict[str, Any] = {
            "_id": visitor.visitor_id,
            "account": visitor.account,
            "expires_at": visitor.expires_at,
            "identifiers": [known.model_dump(mode="json") for known in visitor.identifiers],
            "name": visitor.name,
            "claimed_email": visitor.claimed_email,
        }
        await self._collection.insert_one(document)

    async def find(self, visitor_id: str) -> VisitorRecord | None:
        """Return the visitor, or None when nothing is known besides the id."""
        found = await self._collection.find_one({"_id": visitor_id})
        if found is None:
            return None
        return VisitorRecord(
            visitor_id,
            found["account"],
            found["expires_at"],
            tuple(Identifier.model_validate(known) for known in found["identifiers"]),
            found["name"],
            found["claimed_email"],
        )


class MongoNonces:
    """The collection `nonces`; see proofs.Nonces."""

    def __init__(self, database: Database) -> None:
        self._collection = database["nonces"]

    async def prepare(self) -> None:
        """Create the index that forgets nonces."""
        await self._collection.create_index([("expires_at", ASCENDING)], expireAfterSeconds=0)

    async def admit(self, name: str, content: str, until: datetime) -> bool:
        """Remember the nonce; return whether it is new, or came with the same content."""
        try:
            await self._collection.insert_one({"_id": name, "content": content, "expires_at": until})
        except DuplicateKeyError:
            known = await self._collection.find_one({"_id": name})
            return known is None or known["content"] == content
        return True
