"""The one place, besides the services' `store.py`, that knows motor."""

from collections.abc import Sequence
from typing import Any

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import BulkWriteError
from pymongo.write_concern import WriteConcern

from services.chassis.settings import Settings

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]

DUPLICATE_KEY = 11000
_BY_ID = {"_id": 1}
_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True)


def connect(settings: Settings, service: str) -> Database:
    """Return the service's database. Nothing is sent until it is first used.

    Times are read back as UTC; writes wait for the majority; a server that is away fails an
    operation after two seconds.
    """
    client: Client = AsyncIOMotorClient(
        settings.mongo_url,
        serverSelectionTimeoutMS=2000,
        connectTimeoutMS=2000,
        socketTimeoutMS=20000,
        retryWrites=True,
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
