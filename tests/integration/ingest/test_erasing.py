"""What ingest forgets of a Customer who is erased: chat sessions, and files that were never sent."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from schemas.common import Channel
from services.chassis.accounts import Account
from services.chassis.attachments import Attachments, File, State, visitors
from services.chassis.blobs import GridFsBlobs
from services.chassis.erasures import Erasure
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.ingest.store import Erasing, MongoVisitors
from services.ingest.visitors import VisitorRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WIDGET = Account(provider="webchat", account="demo", channel=Channel.CHAT, address="w", inbox="support")


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "ingest")
    yield found
    await found.client.close()


async def test_the_sessions_and_unused_uploads_of_the_person_go_and_those_of_others_stay(
    database: Database,
) -> None:
    sessions, attachments = MongoVisitors(database), Attachments(database, GridFsBlobs(database))
    for visitor in ("v1", "v2"):
        await sessions.add(
            VisitorRecord(visitor, "demo", NOW + timedelta(days=36_500), name=f"name of {visitor}")
        )
        blob = await attachments.blobs.put(b"a photo", "image/png", f"{visitor}.png")
        owner = visitors("demo", visitor)
        file = File(f"file-{visitor}", State.STORED, owner, "image/png", f"{visitor}.png", 7, blob)
        await attachments.upload(file, NOW)
    erasing = Erasing(sessions.collection, attachments, lambda: [WIDGET])
    for _ in range(2):
        await erasing.erase(Erasure("c1", ("c1",), NOW, ("v1",)))
    assert await sessions.find("v1") is None
    assert await sessions.find("v2") is not None
    files = await attachments.find(["file-v1", "file-v2"])
    assert (files["file-v1"].state, files["file-v1"].filename) == (State.REFUSED, None)
    assert files["file-v2"].state is State.STORED
    assert await database["blobs.files"].count_documents({}) == 1
