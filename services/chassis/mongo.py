"""The one place, besides the services' `store.py`, that knows MongoDB's client."""

from collections.abc import Sequence
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.write_concern import WriteConcern

from services.chassis.settings import Settings

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Collection = AsyncCollection[Document]

DUPLICATE_KEY = 11000
_BY_ID = {"_id": 1}
_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True)


def connect(settings: Settings, service: str) -> Database:
    """Return the service's database. Nothing is sent until it is first used.

    Times are read back as UTC; writes wait for the majority. An operation fails after two seconds when
    no server is there or all connections are in use, and after ten when a server takes a request and
    says nothing (twenty where the client tries once more). `mongo_url` may hold `directConnection=true`,
    for a member that is not reached by the name the others know it by.
    """
    client: Client = AsyncMongoClient(
        settings.mongo_url,
        serverSelectionTimeoutMS=2_000,
        connectTimeoutMS=2_000,
        waitQueueTimeoutMS=2_000,
        socketTimeoutMS=10_000,
        maxPoolSize=50,
        appname=f"parley-{service}",
    )
    return client.get_database(
        f"{settings.mongo_database}_{service}", codec_options=_CODEC, write_concern=WriteConcern("majority")
    )


async def ping(database: Database) -> None:
    """Raise unless the server answers."""
    await database.command("ping")


async def bulk(collection: Collection, operations: Sequence[Any], *, ordered: bool = False) -> frozenset[int]:
    """Run `operations` in one round trip and return the indexes lost to a duplicate `_id`.

    Any other failure, a violated unique index of ours among them, is raised. With `upsert=True` on
    `{_id, version}` a lost race is such a duplicate key, told by its index; without upsert it would
    pass unseen.
    """
    if not operations:
        return frozenset()
    try:
        await collection.bulk_write(list(operations), ordered=ordered)
    except BulkWriteError as error:
        errors = error.details.get("writeErrors", [])
        others = [
            item
            for item in errors
            if item.get("code") != DUPLICATE_KEY or item.get("keyPattern", _BY_ID) != _BY_ID
        ]
        if others or error.details.get("writeConcernErrors"):
            raise
        return frozenset(item["index"] for item in errors)
    return frozenset()


def lost_race(error: PyMongoError) -> bool:
    """Return whether a transaction failed because another writer was faster: it may be tried again."""
    details: Any = getattr(error, "details", None) or {}
    duplicate = any(item.get("code") == DUPLICATE_KEY for item in details.get("writeErrors", ()))
    return (
        duplicate
        or isinstance(error, DuplicateKeyError)
        or error.has_error_label("TransientTransactionError")
    )
