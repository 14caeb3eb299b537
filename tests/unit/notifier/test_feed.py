"""The live feed: who sees what, and a stream that is resumed anywhere without gap or repeat."""

import base64
import json
import random
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Channel
from services.notifier.feed.hub import Viewer
from services.notifier.feed.positions import PARTITIONS, decode, encode
from tests.unit.notifier.feeding import (
    ANA,
    BEN,
    LEA,
    Feed,
    Listener,
    agent_types,
    assigned,
    chat,
    delivered,
    listen,
    message,
    note,
    offered,
    transferred,
    visitor_types,
)

VISITOR = Viewer(visitor="demo/v1")


async def seen_by(feed: Feed, viewer: Viewer, *records: object) -> list[str]:
    listener = await listen(feed, viewer)
    feed.happen(*records)
    await listener.quiet()
    async with listener:
        return listener.names()[1:]


# --- places ---------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**60), min_size=len(PARTITIONS), max_size=len(PARTITIONS)))
def test_any_place_is_read_as_it_was_written(offsets: list[int]) -> None:
    vector = dict(zip(PARTITIONS, offsets, strict=True))
    assert decode(encode(vector)) == vector


@given(st.one_of(st.text(), st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_whatever_a_client_says_is_a_whole_place_or_none(text: str) -> None:
    vector = decode(text)
    assert vector is None or set(vector) == set(PARTITIONS)


# --- who sees what --------------------------------------------------------------------------------


async def test_an_agent_sees_own_inboxes_and_own_offers_and_a_lead_all() -> None:
    records = (
        message("a"),
        message("b", inbox="sales"),
        offered("o", "ana"),
        transferred("t", "sales", "support"),
        note("n"),
    )
    expected = {
        ANA: ["message.added", "conversation.transferred", "note.added", "routing.offered"],
        BEN: ["message.added", "conversation.transferred"],
        LEA: [
            "message.added",
            "message.added",
            "conversation.transferred",
            "note.added",
            "routing.offered",
        ],
    }
    for viewer, names in expected.items():
        assert await seen_by(Feed(), viewer, *records) == names


async def test_the_event_of_a_message_tells_all_the_contract_names() -> None:
    async with await listen(feed := Feed(), ANA) as listener:
        feed.happen(message("a", direction="outbound"))
        event = await listener.next()
    data = listener.got[-1][1]
    assert event.event == data["type"] == "message.added"
    wanted = {"at": "2026-03-01T09:00:00.000Z", "customer_id": "c1", "conversation_id": "k1"}
    words = {"direction": "outbound", "channel": "sms", "text": "text of a", "author": "ana"}
    assert data.items() >= {**wanted, **words}.items()
    assert {"id", "message_id", "seq", "delivery"} <= data.keys()


async def test_a_change_of_inboxes_moves_open_streams() -> None:
    async with await listen(feed := Feed(), ANA) as listener:
        feed.hub.moved("ana", ["sales"])
        feed.happen(message("a"), message("b", inbox="sales"))
        await listener.quiet()
    assert [data["inbox"] for _, data in listener.got[1:]] == ["sales"]


async def test_a_visitor_sees_only_the_own_chat_and_no_word_about_agents() -> None:
    records = (
        assigned("before"),
        chat("hi", "v1"),
        assigned("after"),
        note("n"),
        message("mail", channel=Channel.EMAIL),
        chat("other", "v2", conversation="k2"),
        chat("elsewhere", "v1", account="another", conversation="k3"),
        chat("answer", "v1", "outbound"),
        delivered("d1", of="answer"),
        delivered("d2", of="mail"),
        assigned("theirs", conversation="k2"),
    )
    async with await listen(feed := Feed(), VISITOR) as listener:
        feed.happen(*records)
        await listener.quiet()
    names = ["message.added", "conversation.assigned", "message.added", "message.delivery_changed"]
    assert listener.names()[1:] == names
    assert [data["text"] for _, data in listener.got if "text" in data] == ["text of hi", "text of answer"]
    shown = json.dumps([data for _, data in listener.got])
    for hidden in ("ana", "support", "push", "our secret", "30008", "text of mail", "between us"):
        assert hidden not in shown


# --- resuming -------------------------------------------------------------------------------------


async def test_a_stream_begins_with_a_place_to_resume_from() -> None:
    feed = Feed()
    feed.happen(message("old"))
    async with Listener(feed, ANA) as listener:
        first = await listener.next()
        assert (first.event, listener.got[0][1]["type"]) == ("ready", "ready")
    feed.happen(message("missed"))
    async with await listen(feed, ANA, first.id) as resumed:
        assert resumed.events() == [message("missed").id]


async def test_a_ping_moves_the_place_along() -> None:
    feed = Feed()
    async with await listen(feed, BEN) as listener:
        feed.happen(*(message(f"m{number}") for number in range(3)))
        await listener.quiet()
        place = decode(listener.last or "")
    assert place == feed.hub.vector()


@pytest.mark.parametrize("ring_records", [3, 100])
async def test_a_stream_cut_at_any_event_goes_on_without_gap_or_repeat(ring_records: int) -> None:
    feed, chance = Feed(ring_records=ring_records), random.Random(1)  # noqa: S311  (a fixed course of events)
    listener = Listener(feed, LEA)
    await listener.next()
    expected, got = [], []
    for number in range(120):
        record = message(f"m{number}") if number % 3 else offered(f"m{number}", "ana")
        expected.append(record.id)
        feed.happen(record, partition=number % 12)
        if chance.random() < 0.5:
            await listener.next()
        if chance.random() < 0.2:
            await listener.__aexit__()
            got += listener.events()
            feed.happen(gap := message(f"gap{number}"), partition=chance.randrange(12))
            expected.append(gap.id)
            listener = Listener(feed, LEA, listener.last)
    await listener.quiet()
    await listener.__aexit__()
    got += listener.events()
    assert sorted(got) == sorted(expected)
    assert (feed.reads > 0) == (ring_records == 3)


async def test_events_that_happen_during_a_resume_come_after_what_was_missed() -> None:
    feed = Feed(ring_records=2)
    async with Listener(feed, ANA) as listener:
        await listener.next()
    feed.happen(*(message(f"m{number}") for number in range(6)))
    async with Listener(feed, ANA, listener.last) as resumed:
        assert (await resumed.next()).comment == "resuming"
        feed.happen(*(message(f"m{number}") for number in range(6, 9)))
        await resumed.quiet()
    assert resumed.events() == [message(f"m{number}").id for number in range(9)]


async def test_another_replica_resumes_a_stream_even_when_it_is_behind() -> None:
    feed = Feed()
    async with await listen(feed, ANA) as listener:
        behind = Feed(log=feed.log)
        feed.happen(*(message(f"m{number}") for number in range(5)))
        await listener.quiet()
    async with Listener(behind, ANA, listener.last) as resumed:
        await resumed.next()
        behind.happen(message("m5"))
        await resumed.quiet()
    assert resumed.events() == [message("m5").id]
    assert decode(resumed.last or "") == {**feed.hub.vector(), next(iter(PARTITIONS)): 6}


@pytest.mark.parametrize("ring_records", [1, 100])
async def test_a_record_that_was_published_twice_is_shown_once(ring_records: int) -> None:
    feed = Feed(ring_records=ring_records)
    async with await listen(feed, ANA) as listener:
        start = listener.last
        feed.happen(message("a"), message("b"), message("a"))
        await listener.quiet()
    twins = [message("a").id, message("b").id]
    assert listener.events() == twins
    other = Feed(log={place: [] for place in PARTITIONS}, ring_records=ring_records)
    other.log = feed.log
    other.follow()
    async with await listen(other, ANA, start) as resumed:
        other.happen(message("b"))
        await resumed.quiet()
    assert resumed.events() == twins


async def test_a_record_that_is_published_again_after_a_resume_is_not_repeated() -> None:
    feed = Feed()
    async with await listen(feed, ANA) as listener:
        feed.happen(message("a"))
        await listener.quiet()
    async with await listen(feed, ANA, listener.last) as resumed:
        feed.happen(message("a"), message("b"))
        await resumed.quiet()
    assert resumed.events() == [message("b").id]


@pytest.mark.parametrize("place", ["no place of ours", "AQ"])
async def test_a_place_that_cannot_be_read_resets_the_client(place: str) -> None:
    async with await listen(Feed(), ANA, place) as listener:
        assert listener.names() == ["reset"]
        assert decode(listener.last or "") is not None


async def test_too_long_a_gap_or_a_log_that_is_gone_resets_the_client() -> None:
    for feed in (Feed(ring_records=2, most_records=3), Feed(ring_records=2, gone=True)):
        async with await listen(feed, ANA) as listener:
            pass
        feed.happen(*(message(f"m{number}") for number in range(9)))
        async with await listen(feed, ANA, listener.last) as resumed:
            assert resumed.names() == ["reset"]
            feed.happen(message("then"))
            await resumed.quiet()
        assert resumed.events() == [message("then").id]


async def test_a_place_of_a_log_that_began_anew_resets_the_client() -> None:
    place = encode({**dict.fromkeys(PARTITIONS, 0), PARTITIONS[0]: 500})
    feed = Feed(catch_up_seconds=0.1)
    async with Listener(feed, ANA, place) as listener:
        while listener.names() != ["reset"]:
            await listener.next()
        feed.happen(message("a"))
        await listener.quiet()
    assert listener.events() == [message("a").id]


# --- what only matters now ---------------------------------------------------------------------------


async def test_agents_of_the_inbox_see_that_a_visitor_types_and_the_visitor_that_they_do() -> None:
    feed = Feed()
    async with (
        await listen(feed, ANA) as ana,
        await listen(feed, BEN) as ben,
        await listen(feed, VISITOR) as visitor,
    ):
        feed.happen(chat("hello", "v1"))
        feed.signal(visitor_types("v", "v1"), agent_types("a"))
        for listener in (ana, ben, visitor):
            await listener.quiet()
    assert ana.names()[-2:] == ["visitor.typing", "agent.typing"]
    told = ana.got[-2][1]
    assert (told["conversation_id"], told["customer_id"], told["typing"]) == ("k1", "c1", True)
    assert ben.names() == ["ready"]
    assert visitor.names() == ["ready", "message.added", "agent.typing"]
    assert "agent" not in visitor.got[-1][1]
    assert "inbox" not in visitor.got[-1][1]


async def test_typing_follows_a_conversation_to_another_inbox() -> None:
    feed = Feed()
    feed.happen(chat("hello", "v1"), transferred("t", "support", "sales"))
    async with await listen(feed, ANA) as ana, await listen(feed, BEN) as ben:
        feed.signal(visitor_types("v", "v1"))
        for listener in (ana, ben):
            await listener.quiet()
    assert ana.names() == ["ready"]
    assert ben.names() == ["ready", "visitor.typing"]


async def test_a_visitor_of_whom_nothing_is_known_types_for_nobody_but_leads() -> None:
    feed = Feed()
    async with await listen(feed, ANA) as ana, await listen(feed, LEA) as lea:
        feed.signal(visitor_types("v", "v9"))
        for listener in (ana, lea):
            await listener.quiet()
    assert ana.names() == ["ready"]
    assert lea.got[-1][1]["conversation_id"] is None


async def test_a_signal_is_shown_once_and_not_again_to_who_resumes() -> None:
    feed = Feed()
    feed.happen(chat("hello", "v1"))
    async with await listen(feed, ANA) as ana:
        feed.signal(visitor_types("v", "v1"), visitor_types("v", "v1"))
        await ana.quiet()
        feed.happen(message("b"))
        await ana.quiet()
    assert ana.names() == ["ready", "visitor.typing", "message.added"]
    async with await listen(feed, ANA, ana.last) as resumed:
        pass
    assert resumed.names() == []


# --- ends -----------------------------------------------------------------------------------------


async def test_a_client_that_is_too_slow_is_closed_and_resumes_where_it_was() -> None:
    feed = Feed(queue=3)
    async with Listener(feed, ANA) as slow:
        await slow.next()
        feed.happen(*(message(f"m{number}") for number in range(9)))
        with pytest.raises(StopAsyncIteration):
            await slow.next()
    async with await listen(feed, ANA, slow.last) as resumed:
        assert len(resumed.events()) == 9


async def test_a_stream_ends_with_its_token() -> None:
    async with aclosing(Feed().streams.events(ANA, None, 0.05)) as events:  # type: ignore[type-var]
        names = [event.event async for event in events]
    assert names[0] == "ready"


async def test_a_closed_stream_leaves_nothing_behind() -> None:
    feed = Feed()
    async with await listen(feed, ANA), await listen(feed, LEA), await listen(feed, VISITOR):
        assert feed.hub._streams  # noqa: SLF001  (there is no other sign of a leak)
    assert not feed.hub._streams  # noqa: SLF001  (as above)
