"""Visitors and nonces in MongoDB, either forgotten when it ends; and files that are to be fetched."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from schemas.common import Identifier
from services.chassis.accounts import Account
from services.chassis.attachments import Attachments, File, State, document_of
from services.chassis.attachments import visitors as visitors_files
from services.chassis.erasures import Erasure
from services.chassis.mongo import Collection, Database, bulk
from services.ingest.attachments import Job, Place
from services.ingest.fetching import Stored
from services.ingest.visitors import VisitorRecord


class MongoVisitors:
    """The collection `visitors`; see VisitorStore."""

    def __init__(self, database: Database) -> None:
        self.collection = self._collection = database["visitors"]

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


@dataclass(frozen=True)
class Erasing:
    """Erases what ingest holds of a person: who their chat sessions said they are, and files never sent."""

    visitors: Collection
    attachments: Attachments
    accounts: Callable[[], Iterable[Account]]

    async def erase(self, erasure: Erasure) -> None:
        """Forget the person; may be done again at any time."""
        if not erasure.visitors:
            return
        await self.visitors.delete_many({"_id": {"$in": list(erasure.visitors)}})
        owners = [
            visitors_files(account.account, visitor)
            for account in self.accounts()
            for visitor in erasure.visitors
        ]
        unused = {"unused_since": {"$exists": True}, "owner": {"$in": owners}}
        uploads = [row["_id"] async for row in self.attachments.collection.find(unused, {"_id": 1})]
        await self.attachments.erase(uploads)


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


class FetchJobs:
    """Files to fetch, in the shared collection `attachments`; see fetching.Jobs.

    `due` is there as long as the file is pending. A claim moves it to the end of the lease, so what a
    replica leaves behind comes up by itself. `told_at` is when the message came that the job is of.
    """

    def __init__(self, attachments: Attachments) -> None:
        self._collection = attachments.collection

    async def add(self, jobs: Sequence[Job]) -> None:
        """Remember those that are new, and those that were not there yet when an earlier message told."""
        operations = []
        for job in jobs:
            file = File(job.id, State.PENDING, "message", job.content_type, job.filename)
            fields = {name: value for name, value in document_of(file).items() if name != "_id"}
            known: dict[str, Any] = {
                **fields,
                "due": job.created_at,
                "told_at": job.created_at,
                "provider": job.provider,
                "attempts": 0,
                "job": {
                    "account": job.account,
                    "place": job.place.value,
                    "where": job.where,
                    "index": job.index,
                    "created_at": job.created_at,
                },
            }
            came_too_early = {"_id": job.id, "reason": "not_found", "told_at": {"$lt": job.created_at}}
            operations += [
                UpdateOne({"_id": job.id}, {"$setOnInsert": known}, upsert=True),
                UpdateOne(came_too_early, {"$set": known}),
            ]
        await bulk(self._collection, operations)

    async def claim(self, now: datetime, lease: timedelta, busy: Sequence[str]) -> Job | None:
        """Give one that is due, of a provider that is not `busy`."""
        row = await self._collection.find_one_and_update(
            {"due": {"$lte": now}, "provider": {"$nin": list(busy)}},
            {"$set": {"due": now + lease}, "$inc": {"attempts": 1}},
            sort=[("due", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            return None
        return Job(
            id=row["_id"],
            provider=row["provider"],
            content_type=row["content_type"],
            filename=row["filename"],
            attempts=row["attempts"],
            **{**row["job"], "place": Place(row["job"]["place"])},
        )

    async def postpone(self, job: Job, due: datetime) -> None:
        """Try it again at `due`."""
        await self._collection.update_one(_pending(job), {"$set": {"due": due}})

    async def stored(self, job: Job, stored: Stored) -> bool:
        """Conclude it; False when it was concluded before."""
        file = File(
            job.id,
            State.STORED,
            "message",
            stored.content_type,
            stored.filename,
            stored.blob.size,
            stored.blob,
        )
        return await self._concluded(job, file)

    async def refused(self, job: Job, reason: str) -> None:
        """Conclude it without a file."""
        await self._concluded(
            job, File(job.id, State.REFUSED, "message", job.content_type, job.filename, reason=reason)
        )

    async def _concluded(self, job: Job, file: File) -> bool:
        fields = {name: value for name, value in document_of(file).items() if name != "_id"}
        done = await self._collection.update_one(
            _pending(job), {"$set": fields, "$unset": {"due": "", "job": ""}}
        )
        return bool(done.matched_count)

    async def waiting(self) -> int:
        """Return how many files are still to be fetched."""
        return int(await self._collection.count_documents({"due": {"$exists": True}}))


def _pending(job: Job) -> dict[str, Any]:
    return {"_id": job.id, "state": State.PENDING.value}
