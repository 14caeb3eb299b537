"""What conversation forgets of a Customer who is erased, and what nothing brings back."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from schemas.common import Attachment, BlobRef, Channel
from schemas.conversations import Status
from schemas.topics import ROUTING_COMMANDS
from services.chassis.attachments import Attachments, File, State
from services.chassis.blobs import GridFsBlobs
from services.chassis.delivery import DUPLICATE, ERASED, HANDLED
from services.chassis.erasures import Erasure
from services.chassis.idempotency import Commands as Once
from services.chassis.mongo import Database, connect
from services.chassis.settings import Settings
from services.conversation.domain import replies
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread
from services.conversation.domain.rules import ATTACH, ROUTE
from services.conversation.domain.timers import next_due
from services.conversation.erasing import Erasing
from services.conversation.handlers import ErasedCustomer, Threads
from services.conversation.merges import Merges
from services.conversation.store import Store
from tests import crash
from tests.contract import examples
from tests.integration.conversation.test_crashes import deliveries, events
from tests.unit.conversation.builders import INBOXES, at, grant, message

WORDS = ("parcel", "Ada", "+1555", "secret note", "15550", "answer of ours")


class Place:
    """conversation with its store of files."""

    def __init__(self, database: Database, fuse: crash.Fuse | None = None) -> None:
        self.database, self.log = database, crash.Log(fuse)
        wrapped: Any = crash.Database(database, fuse or crash.Fuse(None))
        self.store = Store(wrapped, self.log, lambda: at(5))
        self.threads = Threads(self.store, INBOXES, next_due, lambda: at(5))
        self.attachments = Attachments(database, GridFsBlobs(database))
        self.erasing = Erasing(wrapped, self.store, self.attachments, Once(database), clock=lambda: at(9))

    async def everything(self) -> str:
        names = await self.database.list_collection_names()
        return "\n".join([str(row) for name in names async for row in self.database[name].find({})])

    async def thread(self, customer: str) -> Thread:
        return (await self.store.load([customer]))[customer].thread

    async def talk(self, customer: str) -> None:
        """Let the Customer write, an Agent take it, answer and write a note."""
        first = message(f"{customer}-1", customer=customer)
        personal = first.personal.model_copy(update={"text": "where is my parcel?", "name": "Ada"})
        await self.threads.apply(ATTACH, deliveries([first.model_copy(update={"personal": personal})]))
        await self.threads.apply(ROUTE, deliveries([grant(await self.thread(customer))]))

        def reply(draft: Draft) -> None:
            channel, route = next(iter(draft.thread.routes.items()))
            replies.reply(
                draft, message_id=uuid4(), agent="ana", channel=channel, route=route, text="an answer of ours"
            )
            replies.note(draft, note_id=uuid4(), author="ana", text="a secret note", about=draft.conversation)

        await self.threads.command(customer, uuid4(), reply)


def erasure(*homes: str) -> Erasure:
    return Erasure(homes[0], tuple(homes), at(8))


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    found = connect(Settings(mongo_url=embedded_mongo, mongo_database=database_name), "conversation")
    await Store(found, crash.Log()).prepare()
    yield found
    await found.client.close()


@pytest.fixture
def place(database: Database) -> Place:
    return Place(database)


async def test_no_word_is_left_and_the_numbers_are(place: Place) -> None:
    await place.talk("c1")
    await place.talk("c2")
    before = await place.everything()
    assert "secret note" in before
    await place.erasing.erase(erasure("c1", "c2"))
    left = await place.everything()
    assert [word for word in WORDS if word in left] == []
    rows = [row async for row in place.database["timeline"].find({"home": "c1"})]
    assert {row["kind"] for row in rows} == {"message", "note", "assignment", "status"}
    assert {row["direction"] for row in rows if row["kind"] == "message"} == {"inbound", "outbound"}
    conversation = await place.database["conversations"].find_one({"customer_id": "c1"})
    assert conversation is not None
    assert (conversation["status"], conversation["open"], conversation["erased"]) == ("closed", False, True)


async def test_the_open_conversation_is_closed_and_given_back(place: Place) -> None:
    await place.talk("c1")
    place.log.records.clear()
    await place.erasing.erase(erasure("c1"))
    (released,) = events(place.log, ROUTING_COMMANDS.name)
    assert released["type"] == "routing.release"
    closed = [
        each
        for each in events(place.log, "conversations.events")
        if each["type"] == "conversation.status_changed"
    ]
    assert [(each["data"]["status"], each["data"]["reason"]) for each in closed] == [
        (Status.CLOSED, "erased")
    ]


async def test_nothing_brings_an_erased_thread_back(place: Place) -> None:
    await place.talk("c1")
    await place.erasing.erase(erasure("c1"))
    again = message("c1-1", customer="c1")
    late = message("c1-late", customer="c1", seconds=3)
    assert await place.threads.apply(ATTACH, deliveries([again, late])) == [DUPLICATE, DUPLICATE]
    with pytest.raises(ErasedCustomer):
        await place.threads.command("c1", uuid4(), lambda _: None)
    assert [word for word in WORDS if word in await place.everything()] == []


async def test_threads_that_were_merged_go_together_and_the_merge_is_not_applied_again(place: Place) -> None:
    await place.talk("c1")
    await place.talk("c2")
    merge = examples.record("customers.events/customer.merged")
    data = merge.data.model_copy(update={"customer_id": "c2", "survivor": "c1"})
    told = deliveries([merge.model_copy(update={"customer_id": "c2", "home": "c2", "data": data})])
    assert await Merges(place.threads).apply(told) == [HANDLED]
    await place.erasing.erase(erasure("c1", "c2"))
    assert await Merges(place.threads).apply(told) == [ERASED]
    for customer in ("c1", "c2"):
        with pytest.raises(ErasedCustomer):
            await place.threads.command(customer, uuid4(), lambda _: None)
    assert [word for word in WORDS if word in await place.everything()] == []


async def test_a_grant_that_was_under_way_is_given_back(place: Place) -> None:
    await place.talk("c1")
    late = grant(await place.thread("c1"), n=9)
    await place.erasing.erase(erasure("c1"))
    place.log.records.clear()
    await place.threads.apply(ROUTE, deliveries([late]))
    (released,) = events(place.log, ROUTING_COMMANDS.name)
    assert released["type"] == "routing.release"


async def test_the_customer_and_their_conversations_are_unknown(place: Place) -> None:
    await place.talk("c1")
    request = events(place.log, ROUTING_COMMANDS.name)[0]["data"]
    assert await place.store.knows(["c1"])
    await place.erasing.erase(erasure("c1"))
    assert await place.store.conversation(request["conversation_id"]) is None
    assert not await place.store.has_conversation(["c1"], None)
    await place.store.learn_customers(["c1"])
    assert not await place.store.knows(["c1"])


async def test_files_and_raw_mails_are_deleted_and_not_fetched_again(place: Place) -> None:
    file = await place.attachments.blobs.put(b"a photo")
    raw = await place.attachments.blobs.put(b"From: ada@example.org")
    mail = message("c1-1", customer="c1", channel=Channel.EMAIL)
    personal = mail.personal.model_copy(
        update={"attachments": (Attachment(filename="ada.jpg", blob=file),), "raw": raw}
    )
    await place.threads.apply(ATTACH, deliveries([mail.model_copy(update={"personal": personal})]))
    row = await place.database["timeline"].find_one({"home": "c1", "kind": "message"})
    assert row is not None
    (shown,) = row["attachments"]
    stored = File(shown["id"], State.STORED, "message", "image/jpeg", "ada.jpg", 7, file)
    await place.attachments.upload(stored, at(0))
    await place.erasing.erase(erasure("c1"))
    assert await place.database["blobs.files"].count_documents({}) == 0
    known = (await place.attachments.find([shown["id"]]))[shown["id"]]
    assert (known.state, known.reason, known.filename) == (State.REFUSED, "erased", None)
    assert BlobRef.model_validate(raw).ref not in await place.everything()


async def test_an_erasure_is_whole_after_a_crash_at_any_step(database: Database) -> None:
    fuse = crash.Fuse(None)
    counted = Place(database, fuse)
    await counted.talk("c0")
    before = fuse.steps
    await counted.erasing.erase(erasure("c0"))
    for step in range(1, fuse.steps - before + 1):
        fuse = crash.Fuse(None)
        place, customer = Place(database, fuse), f"c{step}"
        await place.talk(customer)
        fuse.at = fuse.steps + step
        with pytest.raises(crash.Crash):
            await place.erasing.erase(erasure(customer))
        await Place(database).erasing.erase(erasure(customer))
        assert [word for word in WORDS if word in await place.everything()] == [], step
