"""Customers made by Agents and written to first, likely duplicates, data from outside, and who saw what."""

from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.conftest import TEMPLATE, Branch, person
from tests.system.client import Json
from tests.system.waiting import until

PROBLEMS = "https://parley.example/problems/"


async def made(branch: Branch, agent: str, *identifiers: tuple[str, str], **fields: Any) -> Json:
    """Let an Agent make a Customer."""
    known = [{"kind": kind, "value": value} for kind, value in identifiers]
    answer = await branch.client.act(
        agent, "POST", "/identity/v1/customers", {"identifiers": known, **fields}
    )
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def write(branch: Branch, agent: str, customer: str, **body: Any) -> httpx.Response:
    """Let an Agent write, once conversation knows the Agent's Inboxes."""
    return await until(
        lambda: branch.client.act(agent, "POST", f"/conversation/v1/customers/{customer}/messages", body),
        lambda answer: answer.status_code not in (403, 404),
    )


async def delivered(branch: Branch, to: str, text: str) -> Json:
    """Return what the provider got."""

    async def look() -> list[Json]:
        sent = await branch.client.sent()
        return [each for each in sent if each["to"].lstrip("+") == to.lstrip("+") and text in each["text"]]

    return (await until(look, bool))[0]


async def test_an_agent_writes_first_and_the_answer_joins_that_thread(branch: Branch) -> None:
    number, agent = person(), await branch.agent()
    customer = (await made(branch, agent, ("sms", number), name="Zoe Quill"))["id"]
    answer = await write(branch, agent, customer, text="Your lamp is here.")
    assert answer.status_code == 202, answer.text
    sent = await delivered(branch, number, "Your lamp is here.")
    assert (sent["provider"], sent["account"]) == ("twilio-sms", branch.name)
    first = await branch.client.timeline(customer)
    conversation = next(item["conversation_id"] for item in first if item["kind"] == "message")
    open_ = await branch.status(conversation, "open")
    assert (open_["agent"], open_["inbox"]) == (agent, branch.name)
    reply = await branch.write(number, "Lovely, I come tomorrow at nine.")
    assert reply["conversation_id"] == conversation
    assert (await branch.client.conversation(conversation))["customer_id"] == customer


async def test_a_first_mail_has_the_subject_that_the_agent_gives(branch: Branch) -> None:
    address, agent = f"zoe-{uuid4().hex[:6]}@mail.example", await branch.agent()
    customer = (await made(branch, agent, ("email", address)))["id"]
    answer = await write(branch, agent, customer, text="It is here.", subject="Your lamp")
    assert answer.status_code == 202, answer.text
    sent = await delivered(branch, address, "It is here.")
    assert "Your lamp" in str(sent)
    assert "Re: " not in str(sent)


async def test_whatsapp_takes_a_template_first(branch: Branch) -> None:
    number, agent = person(), await branch.agent()
    customer = (await made(branch, agent, ("phone", number)))["id"]
    refused = await write(branch, agent, customer, text="Hello", channel="whatsapp")
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEMS + "outside-window")
    assert [each["name"] for each in refused.json()["templates"]] == [TEMPLATE["name"]]
    template = {"name": TEMPLATE["name"], "parameters": ["Zoe", "7"]}
    taken = await write(branch, agent, customer, channel="whatsapp", template=template)
    assert taken.status_code == 202, taken.text
    assert (await delivered(branch, number, ""))["provider"] == "whatsapp"


async def test_who_has_no_address_that_we_could_write_to_is_not_written_to(branch: Branch) -> None:
    agent = await branch.agent()
    customer = (await made(branch, agent, ("external:shop", uuid4().hex)))["id"]
    assert (await write(branch, agent, customer, text="Hello")).status_code == 409
    refused = await write(branch, agent, customer, text="Hello", channel="telegram")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "channel")
    assert await branch.client.timeline(customer) == []


async def test_an_address_typed_into_a_chat_suggests_its_owner_and_shows_nothing(branch: Branch) -> None:
    address, agent = f"mira-{uuid4().hex[:6]}@mail.example", await branch.agent()
    owner = (await made(branch, agent, ("email", address), name="Mira Quill"))["id"]
    chat = f"/ingest/v1/webchat/{branch.name}"
    session = await branch.client.send("POST", f"{chat}/sessions", json={"email": address})
    assert session.status_code == 201
    visitor, token = session.json()["visitor_id"], session.json()["token"]
    said = await branch.client.send(
        "POST",
        f"{chat}/messages",
        json={"client_id": "1", "text": "where is my parcel?"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert said.status_code == 202
    chatting = await until(
        lambda: branch.client.get("/identity/v1/customers", identifier=f"visitor:{visitor}"),
        lambda found: found["items"],
    )
    (customer,) = chatting["items"]
    assert customer["id"] != owner
    assert [each["kind"] for each in customer["identifiers"]] == ["visitor"]
    suggested = await branch.client.get(f"/identity/v1/customers/{customer['id']}/suggestions")
    (item,) = suggested["items"]
    assert (item["customer_id"], item["reason"], item["score"]) == (owner, "claimed_identifier_of", 0.6)
    assert [each["value"] for each in suggested["claimed"]] == [address]


async def test_data_of_the_operator_s_system_is_there_in_the_first_seconds(branch: Branch) -> None:
    customer = str((await branch.client.conversation(await branch.conversation()))["customer_id"])
    found = await until(
        lambda: branch.client.get(f"/identity/v1/customers/{customer}"),
        lambda known: "tier" in known["attributes"],
        seconds=10,
    )
    assert found["attribute_sources"]["tier"]["source"] == "system:demo-shop"


async def test_leads_read_who_saw_and_changed_what_in_every_service(branch: Branch) -> None:
    agent = await branch.agent()
    conversation = await branch.conversation()
    await branch.status(conversation, "open")
    customer = str((await branch.client.conversation(conversation))["customer_id"])
    await branch.client.get(f"/conversation/v1/customers/{customer}/timeline", by=agent)
    patched = await branch.client.act(
        agent, "PATCH", f"/identity/v1/customers/{customer}", {"attributes": {"tier": "vip"}}
    )
    assert patched.status_code == 200
    await branch.do(agent, conversation, "notes", {"text": "a word of mine"})

    async def trail() -> set[tuple[str, str, str]]:
        found = await branch.client.get(f"/identity/v1/customers/{customer}/audit")
        return {(each["actor"], each["action"], each["service"]) for each in found["items"]}

    await until(
        trail,
        lambda found: (
            found
            >= {
                (agent, "timeline.viewed", "conversation"),
                (agent, "note", "conversation"),
                (agent, "customer.changed", "identity"),
                ("lea", "conversation.viewed", "conversation"),
                ("lea", "audit.viewed", "identity"),
            }
        ),
    )
    mine = await branch.client.send("GET", f"/identity/v1/customers/{customer}/audit", by=agent)
    assert mine.status_code == 403
