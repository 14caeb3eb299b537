"""Two Customers who are one person: what a lead and the Agents see of a merge and its undoing."""

import asyncio
from uuid import uuid4

import pytest

from tests.e2e.conftest import Branch, person
from tests.system.client import LEAD, Json
from tests.system.waiting import until

MERGES = "/identity/v1/merges"


async def customer(branch: Branch, sender: str) -> str:
    (found,) = await branch.client.customers(f"sms:{sender}")
    return found


async def merged(branch: Branch, survivor: str, absorbed: str) -> str:
    answer = await branch.client.act(LEAD, "POST", MERGES, {"survivor": survivor, "absorbed": absorbed})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def texts(branch: Branch, customer_id: str) -> list[str]:
    items = await branch.client.timeline(customer_id)
    return [item["text"] for item in reversed(items) if item["kind"] == "message"]


async def not_closed(branch: Branch, customer_id: str) -> list[Json]:
    found = await branch.client.conversations(customer_id)
    return [each for each in found if each["status"] != "closed"]


@pytest.mark.timeout(120)
async def test_two_open_conversations_become_one_and_part_again(branch: Branch) -> None:
    client, (ann, bob) = branch.client, (person(), person())
    ana = await branch.agent()
    older = str((await branch.write(ann, "my parcel is late"))["conversation_id"])
    younger = str((await branch.write(bob, "it is me from my other phone"))["conversation_id"])
    for conversation in (older, younger):
        await branch.status(conversation, "open")
    survivor, absorbed = await customer(branch, bob), await customer(branch, ann)

    merge = await merged(branch, survivor, absorbed)
    profile = await client.send("GET", f"/identity/v1/customers/{absorbed}", by=LEAD)
    assert (profile.status_code, profile.headers["location"]) == (308, f"/identity/v1/customers/{survivor}")
    shown = await client.get(f"/identity/v1/customers/{survivor}")
    assert {each["value"] for each in shown["identifiers"]} == {ann, bob}
    await until(lambda: not_closed(branch, survivor), lambda found: [each["id"] for each in found] == [older])
    moved = await client.send("GET", f"/conversation/v1/conversations/{younger}", by=LEAD)
    assert (moved.status_code, moved.headers["location"]) == (308, f"/conversation/v1/conversations/{older}")
    timeline = await client.send("GET", f"/conversation/v1/customers/{absorbed}/timeline", by=LEAD)
    assert timeline.status_code == 308
    (one,) = await not_closed(branch, survivor)
    assert (one["customer_id"], one["agent"], len(one["contacts"])) == (survivor, ana, 2)
    assert await texts(branch, survivor) == ["my parcel is late", "it is me from my other phone"]
    assert (await client.get(f"/router/v1/agents/{ana}"))["load"]["total"] == 1

    both = [(ann, f"ann {number}") for number in range(5)] + [(bob, f"bob {number}") for number in range(5)]
    await asyncio.gather(*(client.webhook(branch.webhook(sender, text)) for sender, text in both))
    await until(lambda: texts(branch, survivor), lambda found: len(found) == 12)
    assert len(await not_closed(branch, survivor)) == 1

    undone = await client.act(LEAD, "POST", f"{MERGES}/{merge}/undo")
    assert undone.status_code == 200, undone.text
    again = await client.act(LEAD, "POST", f"{MERGES}/{merge}/undo")
    assert again.status_code == 409
    await until(lambda: not_closed(branch, absorbed), lambda found: [each["id"] for each in found] == [older])
    await until(
        lambda: not_closed(branch, survivor), lambda found: [each["id"] for each in found] == [younger]
    )
    assert sorted(await texts(branch, absorbed)) == sorted(
        ["my parcel is late", *(f"ann {n}" for n in range(5))]
    )
    own = ["it is me from my other phone", *(f"bob {n}" for n in range(5))]
    assert sorted(await texts(branch, survivor)) == sorted(own)
    for conversation in (older, younger):
        assert (await branch.status(conversation, "open"))["agent"] == ana
    await until(lambda: client.get(f"/router/v1/agents/{ana}"), lambda found: found["load"]["total"] == 2)


async def test_an_answer_to_whom_was_absorbed_goes_to_their_number(branch: Branch) -> None:
    client, (ann, bob) = branch.client, (person(), person())
    ana = await branch.agent()
    first = await branch.write(ann, "hello from ann")
    conversation = str(first["conversation_id"])
    await branch.status(conversation, "open")
    survivor = str((await client.act(LEAD, "POST", "/identity/v1/customers", {"name": "Bob"})).json()["id"])
    await merged(branch, survivor, await customer(branch, ann))
    await until(lambda: not_closed(branch, survivor))
    answer = await branch.do(ana, conversation, "replies", {"text": "we have found it"})
    assert answer.status_code == 202, answer.text
    sent = await until(client.sent, lambda found: any(each["text"] == "we have found it" for each in found))
    (mine,) = [each for each in sent if each["text"] == "we have found it"]
    assert mine["to"] == ann
    assert bob not in {each["to"] for each in sent}


async def test_what_cannot_be_merged_is_refused_with_the_reason(branch: Branch) -> None:
    client = branch.client
    made = [
        str((await client.act(LEAD, "POST", "/identity/v1/customers", {"name": name})).json()["id"])
        for name in ("Ann", "Bob")
    ]
    source = f"crm{uuid4().hex[:6]}"
    for who, value in zip(made, ("1", "2"), strict=True):
        body = {"kind": f"external:{source}", "value": value}
        answer = await client.act(LEAD, "POST", f"/identity/v1/customers/{who}/identifiers", body)
        assert answer.status_code == 201, answer.text
    refused = await client.act(LEAD, "POST", MERGES, {"survivor": made[0], "absorbed": made[1]})
    assert refused.status_code == 409
    assert source in refused.json()["detail"]
    for body, status in (
        ({"survivor": made[0], "absorbed": made[0]}, 422),
        ({"survivor": made[0], "absorbed": "nobody"}, 404),
        ({"survivor": made[0]}, 422),
    ):
        assert (await client.act(LEAD, "POST", MERGES, body)).status_code == status
    assert (await client.act(LEAD, "POST", f"{MERGES}/nothing/undo")).status_code == 404
    agent = await branch.agent(signed_on=False)
    assert (await client.act(agent, "POST", MERGES, {})).status_code == 403
