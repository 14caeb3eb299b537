"""What was, and what was said: `history?at=` and `search` over the public contract."""

from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import Branch, person
from tests.system.client import Json
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(120)


def now() -> str:
    return datetime.now(UTC).isoformat()


async def history(branch: Branch, conversation: str, at: str | None, by: str = "lea") -> httpx.Response:
    params = {} if at is None else {"at": at}
    path = f"/conversation/v1/conversations/{conversation}/history"
    return await branch.client.send("GET", path, by=by, params=params)


async def search(branch: Branch, q: str, by: str = "lea", **params: object) -> httpx.Response:
    return await branch.client.send("GET", "/conversation/v1/search", by=by, params={"q": q, **params})


async def found(branch: Branch, q: str, by: str = "lea", **params: object) -> list[Json]:
    answer = await search(branch, q, by, **params)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def test_a_conversation_is_shown_as_it_was(branch: Branch) -> None:
    before = now()
    conversation = await branch.conversation()
    agent = await branch.agent()
    await branch.status(conversation, "open")
    steps = []
    for method, what, body in (
        ("PUT", "topics", {"topics": ["returns", "returns/damaged"]}),
        ("POST", "take", None),
        ("POST", "replies", {"text": "on its way"}),
        ("POST", "notes", {"text": "ring the depot"}),
        ("POST", "close", {"confirmed": True}),
    ):
        path = f"/conversation/v1/conversations/{conversation}/{what}"
        answer = await until(
            partial(branch.client.act, agent, method, path, body),
            lambda answer: answer.status_code != httpx.codes.NOT_FOUND,
        )
        assert answer.is_success, answer.text
        if what == "replies":  # a reply's fate comes in by and by
            await _sent(branch, conversation)
        steps.append((now(), await branch.client.conversation(conversation)))
    assert {view["status"] for _, view in steps} == {"open", "closed"}
    for at, view in steps:
        answer = await history(branch, conversation, at)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert shown.pop("at").startswith(at[:23])
        assert shown == view
    opened = steps[0][1]["opened_at"]
    at_first = (await history(branch, conversation, opened)).json()
    assert (at_first["status"], at_first["topics"], at_first["opened_at"]) == ("new", [], opened)
    assert (await history(branch, conversation, before)).status_code == 404
    assert (await history(branch, conversation, "2100-01-01T00:00:00Z")).json()["status"] == "closed"


async def _sent(branch: Branch, conversation: str) -> None:
    customer = (await branch.client.conversation(conversation))["customer_id"]
    await until(
        lambda: branch.client.get(f"/conversation/v1/customers/{customer}/timeline"),
        lambda page: all(
            item["status"] in ("delivered", "read")
            for item in page["items"]
            if item["kind"] == "message" and item["direction"] == "outbound"
        ),
    )


@pytest.mark.parametrize("at", [None, "", "yesterday", "1767225600", "2026-01-01", "2026-13-01T00:00:00Z"])
async def test_history_at_no_time_is_refused(branch: Branch, at: str | None) -> None:
    conversation = await branch.conversation()
    answer = await history(branch, conversation, at)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_history_is_for_those_who_may_see_the_conversation(branch: Branch) -> None:
    conversation = await branch.conversation()
    assert (await history(branch, conversation, now(), by="ana")).status_code == 404
    assert (await history(branch, str(uuid4()), now())).status_code == 404
    path = f"/conversation/v1/conversations/{conversation}/history"
    assert (await branch.client.send("GET", path, params={"at": now()})).status_code == 401


async def test_messages_and_notes_are_found_by_their_words(branch: Branch) -> None:
    mark = f"zq{uuid4().hex[:10]}"
    sender = person()
    message = await branch.write(sender, f"The Café {mark} is CLOSED")
    customer = (await branch.client.conversation(message["conversation_id"]))["customer_id"]
    note = await branch.do("lea", message["conversation_id"], "notes", {"text": f"{mark} rings back"})
    other = await branch.write(person(), f"another {mark}")
    ids = [item["id"] for item in await found(branch, mark)]
    assert ids == [other["id"], note.json()["id"], message["id"]]
    for query in (f"cafe {mark}", f"{mark} CAFÉ", f"closed {mark}", f"{mark} clos"):
        assert message["id"] in [item["id"] for item in await found(branch, query)], query
    (hit,) = await found(branch, f"cafe {mark}")
    assert hit["customer_id"] == customer
    assert (hit["kind"], hit["text"], hit["conversation_id"]) == (
        "message",
        f"The Café {mark} is CLOSED",
        message["conversation_id"],
    )
    assert "words" not in hit
    assert "home" not in hit
    assert [item["id"] for item in await found(branch, mark, customer=customer)] == ids[1:]
    assert await found(branch, mark, channel="email") == []
    assert [item["id"] for item in await found(branch, mark, channel="sms")] == [ids[0], ids[2]]
    assert [item["id"] for item in await found(branch, mark, to=other["at"])] == ids[1:]
    assert [item["id"] for item in await found(branch, mark, **{"from": other["at"]})] == ids[:1]


async def test_pages_of_a_search_are_steady_while_more_is_written(branch: Branch) -> None:
    mark = f"zq{uuid4().hex[:10]}"
    sender = person()
    written = [(await branch.write(sender, f"{mark} {number}"))["id"] for number in range(5)]
    shown: list[str] = []
    cursor: str | None = None
    while True:
        answer = await search(branch, mark, limit=2, **({"cursor": cursor} if cursor else {}))
        shown += [item["id"] for item in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        await branch.write(sender, f"{mark} newer")
    assert shown == written[::-1]


async def test_agents_find_what_is_in_their_inboxes(branch: Branch) -> None:
    mark = f"zq{uuid4().hex[:10]}"
    message = await branch.write(person(), f"hello {mark}")
    customer = (await branch.client.conversation(message["conversation_id"]))["customer_id"]
    agent = await branch.agent(signed_on=False)
    await until(lambda: search(branch, mark, agent), lambda answer: bool(answer.json()["items"]))
    assert await found(branch, mark, "ana") == []
    assert (await search(branch, mark, "ana", customer=customer)).status_code == 404
    assert (await branch.client.send("GET", "/conversation/v1/search", params={"q": mark})).status_code == 401


async def test_a_search_stays_right_when_customers_are_merged_and_parted(branch: Branch) -> None:
    mark = f"zq{uuid4().hex[:10]}"
    one, two = [await branch.write(person(), f"{mark} {number}") for number in range(2)]
    first, second = [
        (await branch.client.conversation(each["conversation_id"]))["customer_id"] for each in (one, two)
    ]
    moment = now()
    body = {"survivor": first, "absorbed": second}
    merge = await branch.client.act("lea", "POST", "/identity/v1/merges", body)
    assert merge.status_code == 201, merge.text
    both = await until(
        lambda: found(branch, mark, customer=first),
        lambda hits: [hit["id"] for hit in hits if hit["kind"] == "message"] == [two["id"], one["id"]],
    )
    assert {hit["customer_id"] for hit in both} == {first}
    assert {hit["customer_id"] for hit in await found(branch, mark)} == {first}
    assert len(await found(branch, mark, customer=second)) == len(both)
    before = (await history(branch, two["conversation_id"], moment)).json()
    assert (before["customer_id"], before["status"]) == (second, "new")
    after = await history(branch, two["conversation_id"], "2100-01-01T00:00:00Z")
    assert after.status_code == 308
    undone = await branch.client.act("lea", "POST", f"/identity/v1/merges/{merge.json()['id']}/undo")
    assert undone.status_code == 200
    await until(
        lambda: found(branch, mark, customer=first),
        lambda hits: [hit["id"] for hit in hits if hit["kind"] == "message"] == [one["id"]],
    )
    hits = {hit["id"]: hit["customer_id"] for hit in await found(branch, mark)}
    assert (hits[one["id"]], hits[two["id"]]) == (first, second)


@pytest.mark.parametrize(
    ("q", "status"),
    [
        ("", 422),
        ("   ", 422),
        ("…!?", 422),
        ("x" * 501, 422),
        (" ".join(f"w{number}" for number in range(30)), 422),
        ("(((((a+)+)+)+)+$ [", 200),
        (".*", 422),
        ('{"$gt": ""} zzzz', 200),
        ("\x00 zzzz", 200),
        ("'; drop zzzz", 200),
    ],
)
async def test_a_hostile_query_is_words_or_refused(branch: Branch, q: str, status: int) -> None:
    answer = await search(branch, q)
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_cursor_that_is_not_ours_is_refused(branch: Branch) -> None:
    for cursor in ("", "nonsense", "WzEsMl0", "W1swXSwgMV0"):
        assert (await search(branch, "zzzz", cursor=cursor)).status_code == 422, cursor
    assert (await branch.client.send("GET", "/conversation/v1/search", by="lea")).status_code == 422
    assert (await search(branch, "zzzz", limit=0)).status_code == 422
    assert (await search(branch, "zzzz", channel="pigeon")).status_code == 422
    assert (await search(branch, "zzzz", **{"from": "monday"})).status_code == 422
