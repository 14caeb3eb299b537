"""What is known of attachments, in the database that all services reach: where each one's bytes are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pymongo import ASCENDING, IndexModel

from schemas.common import Attachment, BlobRef
from services.chassis.blobs import BlobStore
from services.chassis.mongo import Database, Document

REASONS: Mapping[str, str] = {
    "nothing_to_fetch": "the provider gave neither the file nor a place to fetch it from",
    "not_found": "the provider does not have the file",
    "expired": "the provider does not give the file any more",
    "too_large": "the file is larger than what we keep",
    "type_not_allowed": "files of this type are not kept",
    "address_not_allowed": "the file is at an address that we do not call",
    "no_account": "the account that the file came by is gone",
    "unavailable": "the provider did not give the file for too long",
    "lost": "the file is not in the store any more",
    "erased": "the Customer was erased",
}
"""Why a file is not there, in words for people."""


class State(StrEnum):
    """Where a file is: still to be fetched, kept, or given up."""

    PENDING = "pending"
    STORED = "stored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class File:
    """One attachment: what it is as far as that is known, and where its bytes are."""

    id: str
    state: State
    owner: str
    """`message`, or who uploaded it: `agent:<id>`, `visitor:<account>/<id>`."""
    content_type: str | None = None
    filename: str | None = None
    size: int | None = None
    blob: BlobRef | None = None
    reason: str | None = None
    """One of REASONS, of a refused one."""

    def attachment(self) -> Attachment:
        """Return it as a record carries it."""
        return Attachment(
            id=UUID(self.id),
            content_type=self.content_type,
            filename=self.filename,
            size=self.size,
            blob=self.blob,
        )


def agents(agent: str) -> str:
    """Return the owner of what an Agent uploads."""
    return f"agent:{agent}"


def visitors(account: str, visitor_id: str) -> str:
    """Return the owner of what a chat visitor uploads."""
    return f"visitor:{account}/{visitor_id}"


class Attachments:
    """The collection `attachments`. A document with `due` is still to be fetched: see ingest."""

    def __init__(self, shared: Database, blobs: BlobStore) -> None:
        self.collection = shared["attachments"]
        self.blobs = blobs

    async def prepare(self) -> None:
        """Create the indexes."""
        await self.collection.create_indexes(
            [
                IndexModel([("due", ASCENDING)], name="due", sparse=True),
                IndexModel([("unused_since", ASCENDING)], name="unused", sparse=True),
            ]
        )

    async def find(self, ids: Iterable[str]) -> dict[str, File]:
        """Return those that are known, by id."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        rows = self.collection.find({"_id": {"$in": wanted}}, {"job": 0})
        return {row["_id"]: file_of(row) async for row in rows}

    async def upload(self, file: File, at: datetime) -> File:
        """Remember an uploaded file; return it, or the one that is known by its id, which stays."""
        fields = {name: value for name, value in document_of(file).items() if name != "_id"}
        known = await self.collection.find_one_and_update(
            {"_id": file.id}, {"$setOnInsert": {**fields, "unused_since": at}}, upsert=True
        )
        return file if known is None else file_of(known)

    async def own(self, owner: str, ids: Sequence[str], at: datetime) -> list[File] | None:
        """Return the owner's uploads in the order asked for; None when one is not theirs.

        Those that no message has are not forgotten for as long from `at` as from their upload.
        """
        await self.collection.update_many(
            {"_id": {"$in": list(ids)}, "owner": owner, "unused_since": {"$lt": at}},
            {"$set": {"unused_since": at}},
        )
        found = await self.find(ids)
        files = [found[each] for each in ids if each in found and found[each].owner == owner]
        return files if len(files) == len(ids) else None

    async def use(self, files: Iterable[File]) -> None:
        """Keep these uploads for good: a message has them."""
        ids = [file.id for file in files]
        if ids:
            await self.collection.update_many({"_id": {"$in": ids}}, {"$unset": {"unused_since": ""}})

    async def erase(self, ids: Iterable[str], blobs: Iterable[str] = ()) -> None:
        """Delete these files, and what else is named of the store, for good.

        What is known of a file stays as a refusal, so that nobody fetches it again.
        """
        found = self.collection.find({"_id": {"$in": sorted(set(ids))}}, {"blob": 1})
        rows = [row async for row in found]
        kept = [row["blob"]["ref"] for row in rows if row.get("blob")]
        for ref in {*kept, *blobs}:
            await self.blobs.delete(ref)
        for row in rows:
            gone = document_of(File(row["_id"], State.REFUSED, "message", reason="erased"))
            await self.collection.replace_one({"_id": row["_id"]}, gone)

    async def forget_unused(self, before: datetime, limit: int = 100) -> int:
        """Delete uploads that no message took since `before`; returns how many."""
        rows = self.collection.find({"unused_since": {"$lt": before}}, {"job": 0}, limit=limit)
        files = [file_of(row) async for row in rows]
        for file in files:
            gone = await self.collection.delete_one({"_id": file.id, "unused_since": {"$lt": before}})
            if gone.deleted_count and file.blob:
                await self.blobs.delete(file.blob.ref)
        return len(files)


def file_of(row: Document) -> File:
    """Return the file that a document of the collection describes."""
    return File(
        id=row["_id"],
        state=State(row["state"]),
        owner=row["owner"],
        content_type=row.get("content_type"),
        filename=row.get("filename"),
        size=row.get("size"),
        blob=BlobRef.model_validate(row["blob"]) if row.get("blob") else None,
        reason=row.get("reason"),
    )


def document_of(file: File) -> Document:
    """Return the file as a document of the collection."""
    return {
        "_id": file.id,
        "state": file.state.value,
        "owner": file.owner,
        "content_type": file.content_type,
        "filename": file.filename,
        "size": file.size,
        "blob": file.blob.model_dump(mode="json") if file.blob else None,
        "reason": file.reason,
    }
