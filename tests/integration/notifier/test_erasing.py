"""What notifier forgets of a Customer who is erased; nothing more is sent to them."""

from datetime import timedelta

import pytest

from services.chassis.erasures import Erasure
from services.chassis.mongo import Database
from services.notifier.channels import Retry, Sent
from services.notifier.consents import Consents
from services.notifier.erasing import Erasing
from services.notifier.webhooks.intake import make_posts
from services.notifier.webhooks.post_store import Posts
from services.notifier.webhooks.rules import Endpoint, Secret
from tests.contract import examples
from tests.integration.notifier.conftest import Notifier
from tests.integration.notifier.test_consents import changed
from tests.unit.notifier.builders import START, batch, reply

HOOK = Endpoint("wh_1", "https://hooks.example/", ("*",), (Secret("whsec_AAAA"),), START, START)
WORDS = ("+15551230001", "hello-c1", "waiting-c1")


@pytest.fixture
async def erasing(database: Database) -> Erasing:
    made = Erasing(database, Posts(database, timedelta(days=36_500), lambda: START), lambda: START)
    await made.prepare()
    await made.posts.prepare()
    return made


async def everything(database: Database) -> str:
    names = await database.list_collection_names()
    return "\n".join([str(row) for name in names async for row in database[name].find({})])


async def test_no_word_or_address_is_left_and_what_became_of_the_messages_is(
    notifier: Notifier, erasing: Erasing
) -> None:
    database = notifier.database
    notifier.provider.answer = lambda _: Sent("P-1")
    await notifier.accept(reply("hello-c1"))
    await notifier.send_all()
    notifier.provider.answer = lambda _: Retry("busy")
    await notifier.accept(reply("waiting-c1", seq=2), reply("hello-c2", customer="c2", to="+15551230002"))
    await Consents(database).learn(batch("conversations.events", changed(1)))
    await erasing.erase(Erasure("c1", ("c1",), START))
    left = await everything(database)
    assert [word for word in WORDS if word in left] == []
    assert "+15551230002" in left
    assert await database["consents"].count_documents({}) == 0
    assert (await notifier.stored("hello-c1"))["status"] == "sent"
    waiting = await notifier.stored("waiting-c1")
    assert (waiting["state"], waiting["status"], waiting["error_kind"]) == ("finished", "failed", "erased")


async def test_what_waited_is_never_sent_and_others_go_on(notifier: Notifier, erasing: Erasing) -> None:
    await notifier.accept(reply("hello-c1"), reply("hello-c2", customer="c2"))
    await erasing.erase(Erasure("c1", ("c1",), START))
    await notifier.send_all()
    await notifier.heal()
    assert len(notifier.provider.asked) == 1
    assert (await notifier.stored("hello-c2"))["status"] == "sent"


async def test_a_request_under_way_is_cleared_the_next_time(notifier: Notifier, erasing: Erasing) -> None:
    await notifier.accept(reply("hello-c1"))
    claimed = await notifier.claim()
    assert claimed is not None
    await erasing.erase(Erasure("c1", ("c1",), START))
    await notifier.sending.send(claimed)
    assert (await notifier.stored("hello-c1"))["status"] == "sent"
    await erasing.erase(Erasure("c1", ("c1",), START))
    assert "+15551230001" not in await everything(notifier.database)


async def test_integrators_are_still_told_that_somebody_was_erased_and_nothing_else(erasing: Erasing) -> None:
    posts = erasing.posts
    told = [examples.record(f"customers.events/customer.{name}") for name in ("created", "updated", "erased")]
    deliveries = batch("customers.events", *told)
    await posts.enqueue(make_posts([(each, HOOK) for each in deliveries], START, 65_536))
    homes = told[-1].data.homes
    await erasing.erase(Erasure(homes[-1], homes, START))
    rows = [row async for row in posts.collection.find({})]
    assert [(row["type"], row.get("head")) for row in rows] == [("customer.erased", True)]
