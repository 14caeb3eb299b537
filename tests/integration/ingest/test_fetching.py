"""Files are fetched once, by whoever comes first, and a slow provider holds up its own alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schemas.calls import CallStep
from schemas.common import Attachment, BlobRef
from schemas.ids import attachment_id, recording_id
from schemas.inbound import MessageReceived
from services.chassis.accounts import Accounts
from services.chassis.attachments import Attachments, File, State, agents
from services.chassis.blobs import BlobStore, blob_store, contents, shared_database
from services.chassis.delivery import HANDLED, Delivery
from services.chassis.problems import Problem
from services.chassis.settings import Settings
from services.chassis.uploads import Upload, keep
from services.ingest.fetching import Fetching
from services.ingest.settings import IngestSettings
from services.ingest.sources import Downloads
from services.ingest.store import FetchJobs
from tests.contract import examples

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(64)
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(64)
ACCOUNTS = Path(__file__).parents[3] / "deploy/local/accounts.yaml"
Answer = Callable[[httpx.Request], Any]


@dataclass
class World:
    """ingest's fetching on a database, a directory and doubles of the providers."""

    attachments: Attachments
    blobs: BlobStore
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def fetching(self, answer: Answer, **settings: Any) -> Fetching:
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        chosen = IngestSettings(fetch_poll_seconds=0.02, attachment_most_bytes=1000, **settings)
        return Fetching(
            FetchJobs(self.attachments),
            self.blobs,
            Accounts.load(ACCOUNTS),
            Downloads(client, client, chosen.attachment_most_bytes, chosen.fetch_seconds),
            chosen,
            frozenset({"application/x-executable"}),
            lambda: self.now,
        )

    async def file(self, message: MessageReceived, index: int = 0) -> File:
        name = str(attachment_id(message.id, index))
        return (await self.attachments.find([name]))[name]

    async def until(self, message: MessageReceived, state: State, index: int = 0) -> File:
        async with asyncio.timeout(10):
            while (file := await self.file(message, index)).state is not state:
                await asyncio.sleep(0.01)
        return file

    async def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
async def world(embedded_mongo: str, database_name: str, tmp_path: Path) -> AsyncIterator[World]:
    settings = Settings(
        mongo_url=embedded_mongo, mongo_database=database_name, blob_store=(tmp_path / "files").as_uri()
    )
    shared = shared_database(settings)
    blobs = blob_store(settings, shared)
    attachments = Attachments(shared, blobs)
    await attachments.prepare()
    yield World(attachments, blobs)
    await shared.client.close()


def message(
    world: World, *files: Attachment, provider: str = "messenger", **personal: Any
) -> MessageReceived:
    plain = examples.record("messages.inbound/message.received-sms")
    return plain.model_copy(
        update={
            "id": uuid4(),
            "data": plain.data.model_copy(
                update={"provider": provider, "account": "demo", "received_at": world.now}
            ),
            "personal": plain.personal.model_copy(update={"attachments": files, **personal}),
        }
    )


async def learn(fetching: Fetching, *messages: MessageReceived) -> None:
    batch = [Delivery("messages.inbound", 0, number, each) for number, each in enumerate(messages)]
    assert await fetching.learn(batch) == [HANDLED] * len(batch)


@asynccontextmanager
async def running(fetching: Fetching) -> AsyncIterator[None]:
    task = asyncio.create_task(fetching.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def sms(world: World, url: str, **more: Any) -> MessageReceived:
    return message(world, Attachment(url=url, **more), provider="twilio-sms")


async def test_a_file_is_kept_under_what_its_bytes_show(world: World) -> None:
    fetching = world.fetching(lambda _: httpx.Response(200, content=PNG))
    came = sms(world, "https://cdn.example/1", content_type="image/jpeg", filename="../x/photo.jpg")
    await learn(fetching, came)
    assert (await world.file(came)).state is State.PENDING
    async with running(fetching):
        file = await world.until(came, State.STORED)
    assert (file.content_type, file.filename, file.size) == ("image/png", "photo.jpg", len(PNG))
    assert file.blob is not None
    assert await contents(world.blobs, file.blob.ref) == PNG


async def test_a_message_that_comes_again_is_not_fetched_again(world: World) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=PNG)

    fetching, came = world.fetching(answer), sms(world, "https://cdn.example/1")
    await learn(fetching, came, came)
    async with running(fetching):
        first = await world.until(came, State.STORED)
        await learn(fetching, came)
        other = sms(world, "https://cdn.example/2")
        await learn(fetching, other)
        await world.until(other, State.STORED)
    assert asked == ["https://cdn.example/1", "https://cdn.example/2"]
    assert await world.file(came) == first


async def test_a_slow_provider_holds_up_its_own_alone(world: World) -> None:
    stuck = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "slow.example":
            await stuck.wait()
        return httpx.Response(200, content=PNG)

    fetching = world.fetching(answer, fetches_at_once=5, fetches_per_provider=2)
    slow = [message(world, Attachment(url=f"https://slow.example/{n}"), provider="webchat") for n in range(8)]
    quick = [sms(world, f"https://cdn.example/{n}") for n in range(4)]
    await learn(fetching, *slow, *quick)
    async with running(fetching):
        for each in quick:
            await world.until(each, State.STORED)
        assert [(await world.file(each)).state for each in slow] == [State.PENDING] * 8
        stuck.set()
        for each in slow:
            await world.until(each, State.STORED)


async def test_what_fails_for_a_while_is_tried_again_with_longer_pauses(world: World) -> None:
    answers = [httpx.Response(503), httpx.Response(429, headers={"retry-after": "30"}), None]
    tries: list[datetime] = []

    def answer(_: httpx.Request) -> httpx.Response:
        tries.append(world.now)
        return answers[len(tries) - 1] or httpx.Response(200, content=PNG)

    fetching, came = world.fetching(answer, fetch_retry_first_seconds=2), sms(world, "https://cdn.example/1")
    await learn(fetching, came)
    began = world.now
    async with running(fetching):
        async with asyncio.timeout(10):
            while (await world.file(came)).state is State.PENDING:
                await asyncio.sleep(0.02)
                await world.pass_(0.5)
    waited = [(each - began).total_seconds() for each in tries]
    assert len(waited) == 3
    assert waited[1] - waited[0] >= 2
    assert waited[2] - waited[1] >= 30


async def test_a_file_that_nobody_gives_for_too_long_is_given_up(world: World) -> None:
    fetching = world.fetching(lambda _: httpx.Response(500), fetch_limit_seconds=60)
    came = sms(world, "https://cdn.example/1")
    await learn(fetching, came)
    async with running(fetching):
        async with asyncio.timeout(10):
            while (await world.file(came)).state is State.PENDING:
                await asyncio.sleep(0.02)
                await world.pass_(2)
    assert (await world.file(came)).reason == "unavailable"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(404), "not_found"),
        (httpx.Response(200, content=bytes(1001)), "too_large"),
        (httpx.Response(200, content=EXE), "type_not_allowed"),
    ],
)
async def test_what_will_never_be_there_says_why(world: World, answer: httpx.Response, reason: str) -> None:
    fetching = world.fetching(lambda _: answer)
    came = message(world, Attachment(url="https://cdn.example/1"), provider="webchat")
    await learn(fetching, came)
    async with running(fetching):
        assert (await world.until(came, State.REFUSED)).reason == reason


async def test_a_recording_that_was_not_there_yet_is_asked_for_again_when_a_later_webhook_tells_of_it(
    world: World,
) -> None:
    answers = iter([httpx.Response(404), httpx.Response(200, content=PNG)])
    fetching = world.fetching(lambda _: next(answers))
    plain = message(world, Attachment(url="https://cdn.example/RE1", media_id="RE1"), provider="twilio-voice")
    early = plain.model_copy(
        update={"data": plain.data.model_copy(update={"call": CallStep(call_id=uuid4())})}
    )
    name = str(recording_id(early.data.call.call_id, "RE1"))  # type: ignore[union-attr]  # set above

    async def settled(state: State) -> None:
        async with asyncio.timeout(10):
            while (await world.attachments.find([name]))[name].state is not state:
                await asyncio.sleep(0.01)

    await learn(fetching, early)
    await world.attachments.collection.update_one({"_id": name}, {"$set": {"attempts": 9}})
    async with running(fetching):
        await settled(State.REFUSED)
        await learn(fetching, early)  # the same word again
        assert (await world.attachments.find([name]))[name].reason == "not_found"
        await world.pass_(60)
        later = early.data.model_copy(update={"received_at": world.now})
        await learn(fetching, early.model_copy(update={"id": uuid4(), "data": later}))
        await settled(State.STORED)
    assert (await world.attachments.find([name]))[name].reason is None


async def test_an_attachment_without_any_place_is_given_up(world: World) -> None:
    fetching, nowhere = world.fetching(lambda _: httpx.Response(500)), sms(world, "", content_type="fallback")
    await learn(fetching, nowhere)
    async with running(fetching):
        assert (await world.until(nowhere, State.REFUSED)).reason == "nothing_to_fetch"


async def test_a_file_waits_for_an_account_that_is_not_loaded_yet(world: World) -> None:
    fetching = world.fetching(lambda _: httpx.Response(200, content=PNG), fetch_limit_seconds=60)
    known, fetching.accounts = fetching.accounts, Accounts([])
    came = sms(world, "https://cdn.example/1")
    gone = message(world, Attachment(url="https://cdn.example/2"), provider="nobody")
    await learn(fetching, came, gone)
    async with running(fetching):
        async with asyncio.timeout(10):
            while await world.attachments.collection.count_documents({"attempts": 0}):
                await asyncio.sleep(0.01)
        fetching.follow(known)
        await world.pass_(20)
        await world.until(came, State.STORED)
        await world.pass_(60)
        assert (await world.until(gone, State.REFUSED)).reason == "no_account"


async def test_parts_of_a_mail_and_stored_parts_come_from_our_own_store(world: World) -> None:
    mail = (
        b"From: a@mail.example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext\r\n"
        b"--b\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"iVBORw0KGgo=\r\n"
        b"--b--\r\n"
    )
    raw, part = await world.blobs.put(mail), await world.blobs.put(PNG)
    files = (Attachment(filename="inner.eml"), Attachment(filename="a.png"), Attachment(filename="none"))
    came = message(world, *files, provider="mime", raw=raw)
    kept = message(world, Attachment(filename="b.png", blob=part), provider="mime", raw=raw)
    fetching = world.fetching(lambda _: httpx.Response(500))
    await learn(fetching, came, kept)
    async with running(fetching):
        inner = await world.until(came, State.STORED, 0)
        picture = await world.until(came, State.STORED, 1)
        assert (await world.until(came, State.REFUSED, 2)).reason == "nothing_to_fetch"
        stored = await world.until(kept, State.STORED)
    assert inner.blob
    assert picture.blob
    assert stored.blob
    assert b"Subject: inner" in await contents(world.blobs, inner.blob.ref)
    assert await contents(world.blobs, picture.blob.ref) == b"\x89PNG\r\n\x1a\n"
    assert (stored.blob.ref, stored.content_type, stored.size) == (part.ref, "image/png", len(PNG))


async def test_what_a_replica_leaves_behind_another_takes_up(world: World) -> None:
    hangs = world.fetching(lambda _: asyncio.sleep(60))
    came = sms(world, "https://cdn.example/1")
    await learn(hangs, came)
    async with running(hangs):
        async with asyncio.timeout(5):
            while (await world.attachments.collection.find_one({}))["attempts"] == 0:
                await asyncio.sleep(0.01)
    other = world.fetching(lambda _: httpx.Response(200, content=PNG))
    async with running(other):  # the clock stands still: no lease has ended
        await world.until(came, State.STORED)


async def test_a_crash_leaves_a_job_until_its_lease_ends_and_the_first_to_finish_wins(world: World) -> None:
    jobs, came = FetchJobs(world.attachments), sms(world, "https://cdn.example/1")
    fetching = world.fetching(lambda _: httpx.Response(200, content=PNG))
    await learn(fetching, came)
    lost = await jobs.claim(world.now, timedelta(seconds=60), [])
    assert lost is not None
    assert await jobs.claim(world.now, timedelta(seconds=60), []) is None
    await world.pass_(61)
    async with running(fetching):
        first = await world.until(came, State.STORED)
    assert await fetching.settle(lost) == "stored"  # it comes back after all
    assert await world.file(came) == first
    (kept,) = [path for path in _files(world) if path.is_file()]
    assert first.blob is not None
    assert kept.name == first.blob.ref


def _files(world: World) -> list[Path]:
    root = world.blobs._make().prefix  # type: ignore[attr-defined]
    return list(Path(str(root)).rglob("*"))


async def test_uploads_that_no_message_takes_are_forgotten(world: World) -> None:
    first, second = await _upload(world, "taken"), await _upload(world, "left")
    await world.attachments.use([first])
    assert await world.attachments.forget_unused(world.now) == 0
    assert await world.attachments.forget_unused(world.now + timedelta(seconds=1)) == 1
    assert set(await world.attachments.find([first.id, second.id])) == {first.id}
    assert [path.name for path in _files(world) if path.is_file()] == [_ref(first)]


async def test_an_upload_belongs_to_who_uploaded_it(world: World) -> None:
    file = await _upload(world, "a")
    assert await world.attachments.own(agents("ana"), [file.id], world.now) == [file]
    assert await world.attachments.own(agents("ben"), [file.id], world.now) is None
    assert await world.attachments.own(agents("ana"), [file.id, str(uuid4())], world.now) is None


async def test_an_upload_that_is_being_sent_is_not_forgotten_meanwhile(world: World) -> None:
    file, later = await _upload(world, "a"), world.now + timedelta(hours=23)
    for who in ("ben", "ana"):
        await world.attachments.own(agents(who), [file.id], later)
        row = await world.attachments.collection.find_one({"_id": file.id})
        assert row["unused_since"] == (later if who == "ana" else world.now)
    assert await world.attachments.forget_unused(later) == 0
    await world.attachments.use([file])
    await world.attachments.own(agents("ana"), [file.id], later)  # a message has it: it stays
    assert await world.attachments.forget_unused(later + timedelta(days=9)) == 0


async def test_a_file_that_is_uploaded_again_under_its_id_is_kept_once(world: World) -> None:
    name, settings = uuid4(), Settings()

    async def again(data: bytes) -> File:
        return await keep(
            Upload(data, "image/png", "a.png"),
            file_id=name,
            owner=agents("ana"),
            attachments=world.attachments,
            settings=settings,
            at=world.now,
        )

    first = await again(PNG)
    assert await again(PNG) == first
    with pytest.raises(Problem) as caught:
        await again(b"another")
    assert str(caught.value.body["type"]).endswith("key-reused")
    assert [path.name for path in _files(world) if path.is_file()] == [_ref(first)]


async def _upload(world: World, name: str) -> File:
    blob: BlobRef = await world.blobs.put(PNG, "image/png", name)
    file = File(str(uuid4()), State.STORED, agents("ana"), "image/png", name, len(PNG), blob)
    await world.attachments.upload(file, world.now)
    return file


def _ref(file: File) -> str:
    assert file.blob is not None
    return file.blob.ref
