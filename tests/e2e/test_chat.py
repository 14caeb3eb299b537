"""A visitor's chat: session, message, and the stream on which the answer comes."""

from uuid import uuid4

import httpx
import pytest

from deploy.local.webhooks import Webhook, chat_message, chat_session
from tests.e2e.conftest import Branch
from tests.system.client import Json
from tests.system.stream import listening
from tests.system.waiting import until


async def posted(branch: Branch, webhook: Webhook) -> httpx.Response:
    return await branch.client.send("POST", webhook.path, headers=webhook.headers, content=webhook.body)


async def session(branch: Branch) -> Json:
    account = branch.client.site.account("webchat", branch.name)
    answer = await posted(branch, chat_session(account, {"name": "Zoe"}))
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    assert set(found) == {"visitor_id", "token", "expires_at"}
    return found


async def say(branch: Branch, token: str, text: str, client_id: str = "") -> str:
    account = branch.client.site.account("webchat", branch.name)
    answer = await posted(branch, chat_message(account, token, text, client_id or uuid4().hex))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["message_id"])


def messages_path(branch: Branch) -> str:
    return f"/conversation/v1/webchat/{branch.name}/messages"


async def own(branch: Branch, token: str) -> list[Json]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await branch.client.send("GET", messages_path(branch), headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


@pytest.mark.timeout(90)
async def test_a_visitor_gets_the_answer_on_the_stream_and_resumes_without_gap_or_repeat(
    branch: Branch,
) -> None:
    client = branch.client
    zoe, max_ = await session(branch), await session(branch)
    agent = await branch.agent()
    stream = f"{client.site.bases['notifier'][0]}/notifier/v1/webchat/{branch.name}/stream"
    async with listening(stream, zoe["token"]) as live, listening(stream, max_["token"]) as other:
        message_id = await say(branch, zoe["token"], "is anybody there?")
        (message,) = await until(lambda: own(branch, zoe["token"]))
        assert (message["message_id"], message["text"]) == (message_id, "is anybody there?")
        (customer,) = await client.customers(f"visitor:{zoe['visitor_id']}")
        (conversation,) = await client.conversations(customer)
        await branch.status(conversation["id"], "open")
        answer = await branch.do(agent, conversation["id"], "replies", {"text": "yes, <b>hello</b>"})
        assert answer.status_code == 202, answer.text
        await live.until(lambda heard: len(heard.named("message.added")) == 2)
        await until(lambda: statuses(branch, zoe["token"]), lambda found: found[0] in {"sent", "delivered"})
        # a later event that the visitor sees marks the end of what Max could have heard
        await say(branch, max_["token"], "something else")
        await other.until(lambda heard: heard.named("message.added"))
    texts = [(event["direction"], event["text"]) for event in live.named("message.added")]
    assert texts == [("inbound", "is anybody there?"), ("outbound", "yes, <b>hello</b>")]
    assert [event["text"] for event in other.named("message.added")] == ["something else"]
    assert agent not in str(live.events), "a visitor is not told who of us it is"

    expected = live.ids()
    async with listening(stream, zoe["token"], live.places[0]) as resumed:
        await resumed.until(lambda heard: len(heard.ids()) >= len(expected))
    assert sorted(resumed.ids()[: len(expected)]) == sorted(expected)


async def test_the_same_client_id_is_the_same_message(branch: Branch) -> None:
    zoe = await session(branch)
    first = await say(branch, zoe["token"], "hello, a question", "browser-1")
    assert await say(branch, zoe["token"], "hello, a question", "browser-1") == first
    second = await say(branch, zoe["token"], "another one", "browser-2")
    found = await until(lambda: own(branch, zoe["token"]), lambda items: len(items) >= 2)
    assert [item["message_id"] for item in found] == [second, first]


async def test_a_visitors_token_opens_nothing_else(branch: Branch) -> None:
    zoe = await session(branch)
    headers = {"Authorization": f"Bearer {zoe['token']}"}
    for path, status in (
        ("/conversation/v1/conversations", 401),
        ("/notifier/v1/stream", 401),
        ("/conversation/v1/webchat/demo/messages", 403),
        ("/notifier/v1/webchat/demo/stream", 403),
    ):
        answer = await branch.client.send("GET", path, headers=headers)
        assert answer.status_code == status, path


async def test_an_agents_token_is_no_visitors(branch: Branch) -> None:
    for path in (messages_path(branch), f"/notifier/v1/webchat/{branch.name}/stream"):
        assert (await branch.client.send("GET", path, by="lea")).status_code == 401


async def statuses(branch: Branch, token: str) -> list[str]:
    return [item["status"] for item in await own(branch, token)]
