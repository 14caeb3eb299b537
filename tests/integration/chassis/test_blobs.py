"""Every store of files keeps and gives bytes the same way, and tells what is gone from what is away."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.chassis.blobs import (
    BlobMissing,
    BlobStore,
    BlobStoreUnavailable,
    blob_store,
    contents,
    shared_database,
)
from services.chassis.faults import is_transient
from services.chassis.mongo import Database
from services.chassis.settings import Settings
from tests.servers.s3 import KEY, REGION, S3, SECRET, running_s3


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with running_s3() as server:
        yield server


@pytest.fixture
async def shared(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    database = shared_database(Settings(mongo_url=embedded_mongo, mongo_database=database_name))
    yield database
    await database.client.close()


@pytest.fixture(params=["gridfs", "directory", "s3"])
def store(request: pytest.FixtureRequest, shared: Database, tmp_path: Path, s3: S3) -> BlobStore:
    url = {
        "gridfs": "gridfs:",
        "directory": (tmp_path / "files").as_uri(),
        "s3": f"s3://bucket/files?endpoint={s3.url}&region={REGION}",
    }[request.param]
    return blob_store(Settings(blob_store=url), shared)


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(700_000)], ids=["empty", "one byte", "700 kB"])
async def test_bytes_are_given_as_they_were_put(store: BlobStore, data: bytes) -> None:
    blob = await store.put(data, "image/png", "a.png")
    assert (blob.size, blob.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (blob.content_type, blob.filename) == ("image/png", "a.png")
    parts = [part async for part in store.read(blob.ref)]
    assert b"".join(parts) == data
    assert all(len(part) < 600_000 for part in parts)


async def test_blobs_are_immutable_and_apart(store: BlobStore) -> None:
    first, second = await store.put(b"same"), await store.put(b"same")
    assert first.ref != second.ref
    await store.delete(first.ref)
    assert await contents(store, second.ref) == b"same"


@pytest.mark.parametrize("ref", ["0" * 32, "../../etc/passwd", "", "a/b", "%2e%2e", "\x00"])
async def test_what_is_not_there_is_missing_and_deleting_it_does_nothing(store: BlobStore, ref: str) -> None:
    with pytest.raises(BlobMissing):
        await contents(store, ref)
    await store.delete(ref)


async def test_what_was_deleted_is_missing(store: BlobStore) -> None:
    blob = await store.put(b"x")
    await store.delete(blob.ref)
    await store.delete(blob.ref)
    with pytest.raises(BlobMissing):
        await contents(store, blob.ref)


async def test_a_bucket_that_is_away_is_a_fault_that_passes(s3: S3, shared: Database) -> None:
    url = f"s3://bucket?endpoint={s3.url}&region={REGION}"
    store = blob_store(Settings(blob_store=url), shared)
    blob = await store.put(b"x")
    s3.broken = True
    for work in (store.put(b"y"), contents(store, blob.ref), store.delete(blob.ref)):
        with pytest.raises(BlobStoreUnavailable) as caught:
            await work
        assert is_transient(caught.value)
    s3.broken = False
    assert await contents(store, blob.ref) == b"x"
    assert s3.refused == []


async def test_a_wrong_secret_keeps_nothing(
    s3: S3, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    store = blob_store(Settings(blob_store=f"s3://bucket?endpoint={s3.url}&region={REGION}"), shared)
    with pytest.raises(BlobStoreUnavailable):
        await store.put(b"x")
    assert s3.objects == {}


@pytest.mark.parametrize(
    "url", ["", "ftp://x/y", "file://host/x", "file:relative", "s3:", "s3:///x", "/var/files", "mongodb://x"]
)
def test_a_setting_that_names_no_store_says_so(url: str) -> None:
    with pytest.raises(ValueError, match="BLOB_STORE"):
        blob_store(Settings(blob_store=url), None)  # type: ignore[arg-type]
