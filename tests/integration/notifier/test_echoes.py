"""Echoes that do not say who sent the message: ours are receipts, others are shown."""

import json

from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryEcho, MessageReceived
from services.chassis.mongo import Database
from services.notifier.channels import Means, Sent
from services.notifier.settings import NotifierSettings
from tests import crash
from tests.integration.notifier.conftest import Notifier
from tests.unit.notifier.builders import echo, reply

SOURCE = "instagram/demo"


def shown(notifier: Notifier) -> list[MessageReceived]:
    records = [record for record in notifier.log.records if record.topic == "messages.inbound"]
    return [MessageReceived.model_validate(json.loads(record.value)) for record in records]


async def held(notifier: Notifier) -> int:
    return int(await notifier.database["parked"].count_documents({}))


async def test_the_echo_of_our_own_message_is_never_shown(notifier: Notifier) -> None:
    await notifier.accept(reply("a", provider="instagram", to="IGSID1"))
    await notifier.send_all(SOURCE)
    await notifier.receive(echo("P-a"))
    notifier.later(100)
    await notifier.sends.show_echoes()
    assert (shown(notifier), await held(notifier)) == ([], 0)


async def test_an_echo_before_the_providers_answer_waits_for_it(notifier: Notifier) -> None:
    await notifier.accept(reply("a", provider="instagram", to="IGSID1"))
    claimed = await notifier.claim(SOURCE)
    assert claimed is not None
    await notifier.receive(echo("P-a"))
    await notifier.sends.show_echoes()
    assert (shown(notifier), await held(notifier)) == ([], 1)
    await notifier.sending.send(claimed)
    assert await held(notifier) == 0
    notifier.later(100)
    await notifier.sends.show_echoes()
    assert shown(notifier) == []
    assert notifier.published("a") == [(1, "sent")]


async def test_the_echo_of_an_earlier_part_of_our_message_is_not_shown(notifier: Notifier) -> None:
    async def in_parts(means: Means, _account: object, _message: object, /) -> Sent:
        await notifier.receive(echo("P-early"))
        for part in ("P-early", "P-late"):
            await means.took(part, "1 of 3")
        return Sent("P-last")

    notifier.sending.request = lambda _: in_parts
    await notifier.accept(reply("a", provider="instagram", to="IGSID1"))
    await notifier.send_all(SOURCE)
    await notifier.receive(echo("P-late"), echo("P-last"))
    notifier.later(100)
    await notifier.sends.show_echoes()
    assert (shown(notifier), await held(notifier)) == ([], 0)


async def test_a_part_that_cannot_be_noted_does_not_stop_the_message(notifier: Notifier) -> None:
    async def in_parts(means: Means, _account: object, _message: object, /) -> Sent:
        await means.took("P-first", "1 of 2")
        return Sent("P-last")

    async def away(_name: object, _part: object, _now: object) -> None:
        raise ConnectionError

    notifier.sending.request = lambda _: in_parts
    notifier.store.note_part = away  # type: ignore[method-assign]
    await notifier.accept(reply("a", provider="instagram", to="IGSID1"))
    await notifier.send_all(SOURCE)
    assert notifier.published("a") == [(1, "sent")]


async def test_what_was_sent_from_the_providers_own_app_is_shown_once_it_waited(notifier: Notifier) -> None:
    foreign = echo("aWdf9")
    await notifier.receive(foreign)
    notifier.later(29)
    await notifier.sends.show_echoes()
    assert shown(notifier) == []
    notifier.later(2)
    await notifier.sends.show_echoes()
    await notifier.sends.show_echoes()
    (message,) = shown(notifier)
    assert (message.id, message.data, message.personal) == (foreign.id, foreign.data, foreign.personal)
    assert notifier.log.records[-1].key == "IGSID1"
    assert await held(notifier) == 0


async def test_a_crash_at_any_step_shows_it_all_the_same_under_one_id(
    database: Database, settings: NotifierSettings
) -> None:
    for step in range(1, 30):
        fuse = crash.Fuse(None)
        dying = Notifier(crash.Database(database, fuse), settings, crash.Log(fuse))
        living = Notifier(database, settings, dying.log)
        foreign: DeliveryEcho = echo(f"aWdf-{step}")
        fuse.at, fuse.steps = step, 0
        crashed = False
        try:
            await dying.receive(foreign)
            dying.later(31)
            await dying.sends.show_echoes()
        except crash.Crash:
            crashed = True
        fuse.at = None
        await living.receive(foreign)
        living.later(62)
        await living.sends.show_echoes()
        assert {message.id for message in shown(living)} == {foreign.id}
        assert await held(living) == 0
        for each in (dying, living):
            await each.sending.client.aclose()
        if not crashed:
            assert step > 4
            return
    raise AssertionError


async def test_an_echo_of_a_message_that_was_given_another_status_meanwhile_does_not_lower_it(
    notifier: Notifier,
) -> None:
    await notifier.accept(reply("a", provider="instagram", to="IGSID1"))
    await notifier.send_all(SOURCE)
    await notifier.database["sends"].update_one({}, {"$set": {"status": DeliveryStatus.READ.value}})
    await notifier.receive(echo("P-a"))
    assert (await notifier.stored("a"))["status"] == "read"
