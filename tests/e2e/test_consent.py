"""STOP, START and HELP, the 24 hours, and templates: from the webhook to the provider and back."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx

from deploy.local.webhooks import WhatsAppSender, heard, whatsapp
from tests.e2e.conftest import Branch, person
from tests.system.client import Json
from tests.system.waiting import until

PROBLEMS = "https://parley.example/problems/"


async def desk(branch: Branch, number: str) -> tuple[str, str]:
    """Return (Agent, Conversation): somebody wrote, and the Agent has it."""
    agent = await branch.agent()
    conversation = str((await branch.write(number, "where is my parcel?"))["conversation_id"])
    await branch.status(conversation, "open")
    return agent, conversation


async def says(branch: Branch, number: str, text: str, times: int = 1) -> None:
    """Let somebody send a keyword, and wait until it is shown for the `times`-th time."""
    assert (await branch.client.webhook(branch.webhook(number, text))).status == 200

    async def count() -> int:
        return len([item for item in await branch.client.messages(f"sms:{number}") if item["text"] == text])

    await until(count, lambda found: found >= times)


async def reply(
    branch: Branch, agent: str, conversation: str, text: str = "on its way", **body: object
) -> httpx.Response:
    return await branch.do(agent, conversation, "replies", body or {"text": text})


async def timeline(branch: Branch, conversation: str) -> list[Json]:
    return await branch.client.timeline((await branch.client.conversation(conversation))["customer_id"])


async def consents(branch: Branch, conversation: str) -> list[tuple[bool, str]]:
    items = await timeline(branch, conversation)
    return [(item["opted_out"], item["source"]) for item in items if item["kind"] == "consent"]


async def ended(branch: Branch, conversation: str, message_id: str, *statuses: str) -> Json:
    """Return the message on the timeline once it has one of the statuses."""

    async def look() -> Json:
        return next(item for item in await timeline(branch, conversation) if item["id"] == message_id)

    return await until(look, lambda item: item["status"] in statuses)


async def sent_to(branch: Branch, number: str) -> list[str]:
    return [item["text"] for item in await branch.client.sent() if item["to"].lstrip("+") == number[1:]]


async def test_after_stop_a_reply_is_refused_and_after_start_it_goes_out(branch: Branch) -> None:
    number = person()
    agent, conversation = await desk(branch, number)
    before = await branch.client.conversation(conversation)
    await says(branch, number, "Stop.")
    refused = await reply(branch, agent, conversation)
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEMS + "opted-out")
    for part in (number, f"twilio-sms/{branch.name}", "since 20"):
        assert part in refused.json()["detail"]
    customer = before["customer_id"]
    written = await branch.client.act(
        agent, "POST", f"/conversation/v1/customers/{customer}/messages", {"text": "on its way"}
    )
    assert (written.status_code, written.json()["type"]) == (409, PROBLEMS + "opted-out")
    assert await consents(branch, conversation) == [(True, "customer")]

    await says(branch, number, "START")
    accepted = await reply(branch, agent, conversation)
    assert accepted.status_code == 202, accepted.text
    await ended(branch, conversation, accepted.json()["message_id"], "sent", "delivered")
    assert await consents(branch, conversation) == [(False, "customer"), (True, "customer")]
    assert await sent_to(branch, number) == ["on its way"]
    after = await branch.client.conversation(conversation)
    assert (after["status"], after["agent"]) == (before["status"], before["agent"])


async def test_a_stop_before_the_provider_was_asked_is_kept(branch: Branch) -> None:
    number = person()
    agent, conversation = await desk(branch, number)
    behaviour = {"provider": "twilio-sms", "account": branch.name, "mode": "rate_limited"}
    base = branch.client.site.simulator
    (await branch.client.http.post(f"{base}/dev/providers/behaviour", json=behaviour)).raise_for_status()
    accepted = await reply(branch, agent, conversation)
    assert accepted.status_code == 202, accepted.text
    await says(branch, number, "STOP")
    item = await ended(branch, conversation, accepted.json()["message_id"], "failed")
    assert (item["error_code"], item["error_kind"]) == ("opted_out", "opted_out")
    assert item["error_detail"] == "the recipient has opted out of messages from us"
    assert await sent_to(branch, number) == []
    assert await consents(branch, conversation) == [(True, "customer")]


async def test_what_only_the_provider_knows_is_learnt_from_its_refusal(branch: Branch) -> None:
    number = person()
    agent, conversation = await desk(branch, number)
    stop = heard(branch.client.site.account("twilio-sms", branch.name), number, "STOP")
    url = branch.client.site.simulator + stop.path
    answer = await branch.client.http.post(url, content=stop.body, headers=stop.headers)
    assert answer.status_code == 204, answer.text
    accepted = await reply(branch, agent, conversation)
    assert accepted.status_code == 202, accepted.text
    item = await ended(branch, conversation, accepted.json()["message_id"], "failed")
    assert (item["error_code"], item["error_kind"]) == ("21610", "opted_out")
    await until(lambda: consents(branch, conversation), [(True, "provider")].__eq__)
    refused = await reply(branch, agent, conversation)
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEMS + "opted-out")


async def test_after_a_day_only_a_template_goes_out(branch: Branch) -> None:
    client, number = branch.client, person()
    agent = await branch.agent()
    account = client.site.account("whatsapp", branch.name)
    old = datetime.now(UTC) - timedelta(hours=25)
    content = {"type": "text", "text": {"body": "hello, anybody?"}}
    wamid = f"wamid.{uuid4().hex}"
    assert (
        await client.webhook(whatsapp(account, WhatsAppSender(number), content, wamid, old))
    ).status == 200
    (first,) = await until(lambda: client.messages(f"sms:{number}"))
    conversation = first["conversation_id"]
    await branch.status(conversation, "open")

    refused = await reply(branch, agent, conversation)
    assert (refused.status_code, refused.json()["type"]) == (409, PROBLEMS + "outside-window")
    (offer,) = refused.json()["templates"]
    assert (offer["name"], offer["language"], offer["parameters"]) == ("news", "en", 2)
    unfit = await reply(branch, agent, conversation, template={"name": "news", "parameters": ["Zoë"]})
    assert (unfit.status_code, unfit.json()["errors"][0]["field"]) == (422, "template.parameters")
    both = await reply(branch, agent, conversation, text="hello", template={"name": "news"})
    assert both.status_code == 422

    asked = {"name": offer["name"], "parameters": ["Zoë", "7731"]}
    accepted = await reply(branch, agent, conversation, template=asked)
    assert accepted.status_code == 202, accepted.text
    item = await ended(branch, conversation, accepted.json()["message_id"], "delivered", "read")
    assert (item["text"], item["type"]) == ("Hello Zoë, parcel 7731 is late.", "template")
    assert await sent_to(branch, number) == ["Hello Zoë, parcel 7731 is late."]


async def test_help_is_answered_by_itself_once(branch: Branch) -> None:
    number = person()
    await says(branch, number, "HELP")
    await says(branch, number, "HELP", times=2)
    await until(lambda: sent_to(branch, number), [f"This is {branch.name}."].__eq__)
    shown = [
        item for item in await branch.client.messages(f"sms:{number}") if item["direction"] == "outbound"
    ]
    assert [(item["automatic"], item["agent"], item["conversation_id"]) for item in shown] == [
        (True, None, None)
    ]
