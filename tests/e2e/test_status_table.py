"""The status table, as an Agent and a lead meet it over HTTP."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from schemas.routing import Capacity
from tests.e2e.conftest import Branch, person
from tests.system.client import Json
from tests.system.play import profile, reply_sent, sign_off, sign_on
from tests.system.waiting import until

ROOM_FOR_ONE = Capacity(messaging=1)


def said(answer_text: str, *words: str) -> bool:
    return all(word in answer_text for word in words)


async def test_a_message_waits_as_new_and_opens_with_who_signs_on(branch: Branch) -> None:
    conversation = await branch.conversation()
    assert (await branch.client.conversation(conversation))["status"] == "new"
    agent = await branch.agent()
    assert (await branch.status(conversation, "open"))["agent"] == agent


async def test_a_reply_to_a_new_conversation_is_sent_and_leaves_it_new(branch: Branch) -> None:
    conversation = await branch.conversation()
    agent = await branch.agent(signed_on=False)
    answer = await branch.do(agent, conversation, "replies", {"text": "we are looking into it"})
    assert answer.status_code == 202
    await reply_sent(branch.client, answer.json()["message_id"], conversation)
    assert (await branch.client.conversation(conversation))["status"] == "new"


async def test_another_agents_open_conversation_is_answered_by_a_lead_only(branch: Branch) -> None:
    owner = await branch.agent()
    conversation = await branch.conversation()
    await branch.status(conversation, "open")
    other = await branch.agent(signed_on=False)
    refused = await branch.do(other, conversation, "replies", {"text": "mine"})
    assert refused.status_code == 403
    assert owner in refused.json()["detail"]
    assert (await branch.do("lea", conversation, "replies", {"text": "a lead's word"})).status_code == 202
    kept = await branch.client.conversation(conversation)
    assert (kept["status"], kept["agent"]) == ("open", owner)


async def test_a_closed_conversation_refuses_everything_but_reopen_and_notes(branch: Branch) -> None:
    agent = await branch.agent(signed_on=False)
    conversation = await branch.conversation()
    first = await branch.do(agent, conversation, "close", {"confirmed": True})
    assert (first.status_code, first.json()["status"], first.json()["confirmed"]) == (200, "closed", True)
    again = await branch.do(agent, conversation, "close", {"confirmed": False})
    assert (again.status_code, again.json()["confirmed"]) == (200, True)
    for what, body in (
        ("replies", {"text": "too late"}),
        ("take", None),
        ("unassign", None),
        ("no-reply-needed", None),
        ("transfer", {"inbox": "fallback"}),
        ("transfer", {"agent": agent}),
    ):
        refused = await branch.do("lea", conversation, what, body)
        assert refused.status_code == 409, what
        assert said(refused.json()["detail"], "closed"), what
        assert refused.json()["state"] == "closed"
    assert (await branch.do(agent, conversation, "notes", {"text": "for later"})).status_code == 201


async def test_reopen_is_new_and_returns_to_who_reopened_it(branch: Branch) -> None:
    agent = await branch.agent()
    conversation = await branch.conversation()
    await branch.status(conversation, "open")
    await branch.do(agent, conversation, "close")
    reopened = await branch.do(agent, conversation, "reopen")
    assert (reopened.status_code, reopened.json()["status"]) == (200, "new")
    assert (await branch.status(conversation, "open"))["agent"] == agent
    refused = await branch.do(agent, conversation, "reopen")
    assert (refused.status_code, refused.json()["state"]) == (409, "open")


async def test_a_message_within_the_reopen_window_brings_the_same_conversation_back(branch: Branch) -> None:
    sender = person()
    conversation = (await branch.write(sender, "the box is broken"))["conversation_id"]
    await branch.do("lea", conversation, "close")
    again = await branch.write(sender, "and the lid is missing")
    assert again["conversation_id"] == conversation
    await branch.status(conversation, "new")


async def test_thanks_wake_nobody(branch: Branch) -> None:
    sender = person()
    conversation = (await branch.write(sender, "the box is broken"))["conversation_id"]
    assert (await branch.do("lea", conversation, "close")).json()["status"] == "closed"
    assert (await branch.write(sender, "thanks, that worked"))["conversation_id"] == conversation
    assert (await branch.client.conversation(conversation))["status"] == "closed"


async def test_no_reply_needed_waits_until_the_customer_writes_again(branch: Branch) -> None:
    agent, sender = await branch.agent(), person()
    conversation = (await branch.write(sender, "my order came"))["conversation_id"]
    await branch.status(conversation, "open")
    waiting = await branch.do(agent, conversation, "no-reply-needed")
    assert (waiting.status_code, waiting.json()["status"]) == (200, "waiting")
    await until(
        lambda: branch.client.get(f"/router/v1/agents/{agent}"), lambda found: not found["load"]["total"]
    )
    await branch.write(sender, "but one part is missing")
    assert (await branch.status(conversation, "open"))["agent"] == agent


async def test_take_gives_it_to_the_caller_unless_full(branch: Branch) -> None:
    agent = await branch.agent(ROOM_FOR_ONE, signed_on=False)
    first, second = await branch.conversation(), await branch.conversation()
    away = await branch.do(agent, first, "take")
    assert away.status_code == 409
    assert said(away.json()["detail"], agent, "signed off")
    await sign_on(branch.client, agent)
    owned = await until(lambda: open_of(branch, first, second), lambda found: len(found) == 1)
    assert owned[0]["agent"] == agent
    (other,) = {first, second} - {owned[0]["id"]}
    full = await branch.do(agent, other, "take")
    assert full.status_code == 409
    assert said(full.json()["detail"], agent, "1 of 1")
    await branch.do(agent, owned[0]["id"], "close")
    taken = await branch.do(agent, other, "take")
    assert (taken.status_code, taken.json()["agent"], taken.json()["status"]) == (200, agent, "open")


async def test_unassigned_is_new_and_goes_to_somebody_else(branch: Branch) -> None:
    agent = await branch.agent()
    conversation = await branch.conversation()
    await branch.status(conversation, "open")
    assert (await branch.do(agent, conversation, "unassign")).json()["status"] == "new"
    refused = await branch.do(agent, conversation, "unassign")
    assert (refused.status_code, refused.json()["state"]) == (409, "new")
    other = await branch.agent()
    assert (await branch.status(conversation, "open"))["agent"] == other


async def test_a_transfer_to_an_agent_is_the_routers_to_decide(branch: Branch) -> None:
    agent = await branch.agent()
    conversation = await branch.conversation()
    await branch.status(conversation, "open")
    full = await branch.agent(Capacity(messaging=0), signed_on=True)
    away = await branch.agent(signed_on=False)
    for target in (full, away, "nobody-at-all"):
        refused = await branch.do(agent, conversation, "transfer", {"agent": target})
        assert refused.status_code == 409, target
        assert target in refused.json()["detail"]
        kept = await branch.client.conversation(conversation)
        assert (kept["status"], kept["agent"]) == ("open", agent)
    assert (
        await branch.do(agent, conversation, "transfer", {"agent": full, "force": True})
    ).status_code == 403
    forced = await branch.do("lea", conversation, "transfer", {"agent": full, "force": True})
    assert (forced.status_code, forced.json()["agent"]) == (200, full)
    back = await branch.do("lea", conversation, "transfer", {"agent": agent})
    assert (back.status_code, back.json()["agent"]) == (200, agent)


async def test_a_transfer_to_an_inbox_is_new_there(branch: Branch) -> None:
    agent = await branch.agent()
    conversation = await branch.conversation()
    await branch.status(conversation, "open")
    moved = await branch.do(agent, conversation, "transfer", {"inbox": "fallback"})
    assert (moved.status_code, moved.json()["inbox"], moved.json()["status"]) == (200, "fallback", "new")
    assert (
        await branch.do(agent, conversation, "replies", {"text": "still mine?"}, hidden=True)
    ).status_code == 404
    assert (await branch.do("lea", conversation, "close")).status_code == 200


async def test_signing_off_gives_back_what_one_has_to_whoever_is_there(branch: Branch) -> None:
    agent = await branch.agent()
    conversations = [await branch.conversation() for _ in range(2)]
    for conversation in conversations:
        assert (await branch.status(conversation, "open"))["agent"] == agent
    await sign_off(branch.client, agent)
    for conversation in conversations:
        assert (await branch.status(conversation, "new"))["agent"] is None
    other = await branch.agent()
    for conversation in conversations:
        assert (await branch.status(conversation, "open"))["agent"] == other
    left = await branch.client.get(f"/router/v1/agents/{agent}")
    assert left["load"]["total"] == 0


async def test_no_agent_gets_more_than_their_room(branch: Branch) -> None:
    conversations = await asyncio.gather(
        *(branch.conversation(f"question number {each}?") for each in range(6))
    )
    agents = [await branch.agent(Capacity(messaging=2)) for _ in range(2)]
    held = await until(lambda: open_of(branch, *conversations), lambda found: len(found) == 4)
    assert Counter(each["agent"] for each in held) == dict.fromkeys(agents, 2)
    queue = await branch.client.get("/router/v1/queues", inbox=branch.name)
    (messaging,) = [item for item in queue["items"] if item["channel_class"] == "messaging"]
    assert (messaging["depth"], messaging["agents_available"]) == (2, 0)
    await branch.do(agents[0], next(each["id"] for each in held if each["agent"] == agents[0]), "close")
    await until(lambda: open_of(branch, *conversations), lambda found: len(found) == 4)


async def test_an_agent_sees_the_own_inboxes_only(branch: Branch) -> None:
    conversation = await branch.conversation()
    stranger = f"agent-{uuid4().hex[:8]}"
    await profile(branch.client, stranger, inboxes=["fallback"])
    path = f"/conversation/v1/conversations/{conversation}"

    async def look() -> int:
        return (await branch.client.send("GET", path, by=stranger)).status_code

    await until(look, lambda status: status == 404)
    assert (await branch.do(stranger, conversation, "close", hidden=True)).status_code == 404
    listed = await branch.client.get("/conversation/v1/conversations", by=stranger, inbox=branch.name)
    assert listed["items"] == []


# --- Idempotency-Key ------------------------------------------------------------------------------


async def test_the_same_command_twice_is_one_reply(branch: Branch) -> None:
    sender = person()
    conversation = (await branch.write(sender, "do you ship abroad?"))["conversation_id"]
    path, key = f"/conversation/v1/conversations/{conversation}/replies", uuid4().hex
    at_once = await asyncio.gather(
        *(branch.client.act("lea", "POST", path, {"text": "we do"}, key=key) for _ in range(8))
    )
    later = await branch.client.act("lea", "POST", path, {"text": "we do"}, key=key)
    assert {answer.status_code for answer in [*at_once, later]} == {202}
    assert len({answer.text for answer in [*at_once, later]}) == 1
    await reply_sent(branch.client, later.json()["message_id"], conversation)
    assert len([entry for entry in await branch.client.sent() if entry["to"] == sender]) == 1


async def test_a_key_with_another_body_is_422_and_of_another_caller_a_new_one(branch: Branch) -> None:
    agent = await branch.agent(signed_on=False)
    conversation, key = await branch.conversation(), uuid4().hex
    path = f"/conversation/v1/conversations/{conversation}/notes"
    first = await branch.client.act("lea", "POST", path, {"text": "one"}, key=key)
    other_body = await branch.client.act("lea", "POST", path, {"text": "two"}, key=key)
    other_caller = await branch.client.act(agent, "POST", path, {"text": "two"}, key=key)
    assert [first.status_code, other_body.status_code, other_caller.status_code] == [201, 422, 201]
    assert "Idempotency-Key" in other_body.json()["detail"]
    items = await branch.client.timeline((await branch.client.conversation(conversation))["customer_id"])
    assert sorted(item["text"] for item in items if item["kind"] == "note") == ["one", "two"]


async def test_a_refusal_is_repeated_under_its_key(branch: Branch) -> None:
    conversation, key = await branch.conversation(), uuid4().hex
    path = f"/conversation/v1/conversations/{conversation}/reopen"
    first = await branch.client.act("lea", "POST", path, key=key)
    await branch.do("lea", conversation, "close")
    again = await branch.client.act("lea", "POST", path, key=key)
    assert first.status_code == again.status_code == 409
    assert first.json() == again.json()


# --- many at once ---------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_120_webhooks_at_once_from_a_new_number_are_60_messages_of_one_customer(branch: Branch) -> None:
    sender = person()
    client = branch.client
    webhooks = [branch.webhook(sender, f"at once {each}") for each in range(60)]
    posted = await asyncio.gather(*(client.webhook(webhook) for webhook in webhooks * 2))
    assert {each.status for each in posted} == {200}
    messages = await until(
        lambda: client.messages(f"sms:{sender}"), lambda found: len(found) >= 60, seconds=60
    )
    assert Counter(item["text"] for item in messages) == {f"at once {each}": 1 for each in range(60)}
    (customer,) = await client.customers(f"sms:{sender}")
    assert len(await client.conversations(customer)) == 1


async def open_of(branch: Branch, *conversations: str) -> list[Json]:
    found = [await branch.client.conversation(each) for each in conversations]
    return [each for each in found if each["status"] == "open"]
