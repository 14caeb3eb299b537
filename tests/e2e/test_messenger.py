"""Messenger and Instagram: a message, its answer, receipts, echoes, and what others send from the page."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from deploy.local.webhooks import direct_message, messaging
from tests.e2e.conftest import Branch
from tests.system.client import Json
from tests.system.waiting import until

PROVIDERS = pytest.mark.parametrize("provider", ["messenger", "instagram"])


async def write(branch: Branch, provider: str, person: str, text: str) -> Json:
    """Let somebody write, twice delivered, and return the message on the timeline."""
    account = branch.client.site.account(provider, branch.name)
    webhook = direct_message(account, person, text, f"m_{uuid4().hex}", datetime.now(UTC))
    for _ in range(2):
        assert (await branch.client.webhook(webhook)).status == 200
    found = await until(lambda: said(branch, provider, person), bool)
    return found[-1]


async def said(branch: Branch, provider: str, person: str) -> list[Json]:
    return await branch.client.messages(f"{provider}:{person}")


async def reply(branch: Branch, conversation: str, text: str) -> str:
    agent = await branch.agent()
    await branch.status(conversation, "open")
    answer = await branch.do(agent, conversation, "replies", {"text": text})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["message_id"])


@PROVIDERS
@pytest.mark.timeout(90)
async def test_an_answer_is_read_and_its_echo_is_no_second_message(provider: str, branch: Branch) -> None:
    person = uuid4().hex
    asked = await write(branch, provider, person, "is it dimmable?")
    assert (asked["channel"], asked["direction"]) == (provider, "inbound")
    ours = await reply(branch, asked["conversation_id"], "it is")
    found = await until(
        lambda: said(branch, provider, person),
        lambda items: any(item["id"] == ours and item["status"] == "read" for item in items),
    )
    assert [item["text"] for item in found] == ["it is", "is it dimmable?"]
    (sent,) = [each for each in await branch.client.sent() if each["to"] == person]
    assert sent["text"] == "it is"
    assert sent.get("callback_data") == (ours if provider == "messenger" else None)


@pytest.mark.timeout(90)
async def test_a_lost_answer_is_made_good_by_the_echo(branch: Branch) -> None:
    person = uuid4().hex
    asked = await write(branch, "messenger", person, "and in white?")
    order = {"provider": "messenger", "account": branch.name, "mode": "lose_answer", "count": 1}
    await branch.client.http.post(f"{branch.client.site.simulator}/dev/providers/behaviour", json=order)
    ours = await reply(branch, asked["conversation_id"], "in white too")
    found = await until(
        lambda: said(branch, "messenger", person),
        lambda items: any(item["id"] == ours and item["status"] == "read" for item in items),
    )
    assert len(found) == 2


@pytest.mark.timeout(90)
async def test_what_the_page_says_by_another_app_is_outbound_and_stands_once(branch: Branch) -> None:
    person, account = uuid4().hex, branch.client.site.account("messenger", branch.name)
    await write(branch, "messenger", person, "anybody there?")
    people = {"sender": {"id": account.address}, "recipient": {"id": person}}
    at = int(datetime.now(UTC).timestamp() * 1000)
    echo = {"mid": f"m_{uuid4().hex}", "is_echo": True, "app_id": 263902037430900, "text": "from the inbox"}
    for _ in range(2):
        webhook = messaging(account, [{**people, "timestamp": at, "message": echo}])
        assert (await branch.client.webhook(webhook)).status == 200
    found = await until(lambda: said(branch, "messenger", person), lambda items: len(items) >= 2)
    assert sorted((item["direction"], item["text"]) for item in found) == [
        ("inbound", "anybody there?"),
        ("outbound", "from the inbox"),
    ]
