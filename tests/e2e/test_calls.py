"""Calls through the whole stack: what the caller hears, what the Agent sees."""

import pytest

from deploy.local.calls import Caller, call
from tests.e2e.conftest import Branch, person
from tests.system.client import Json
from tests.system.stream import listening
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(120)


class Phone:
    """A call in the making; each webhook is posted twice, as a provider may do."""

    def __init__(self, branch: Branch, number: str, keys: str, says: str = "") -> None:
        site = branch.client.site
        caller = Caller(number, keys, says, "ZOE QUILL")
        self._calling = call(site.account("twilio-voice", branch.name), site.public_url, caller)
        self._branch = branch
        self._webhook = next(self._calling)
        self.over = False

    async def step(self) -> str:
        """Post the next webhook and return the answer."""
        posted = self._webhook
        twice = [
            await self._branch.client.send("POST", posted.path, headers=posted.headers, content=posted.body)
            for _ in range(2)
        ]
        assert [answer.status_code for answer in twice] == [200, 200]
        assert twice[0].text == twice[1].text
        try:
            self._webhook = self._calling.send(twice[0].text)
        except StopIteration:
            self.over = True
        return twice[0].text

    async def rest(self) -> None:
        """Go on to the end."""
        while not self.over:
            await self.step()


async def the_call(branch: Branch, number: str, status: str, *, transcribed: bool = False) -> Json:
    """Return the one call on the caller's timeline once it has the status."""

    async def found() -> list[Json]:
        customers = await branch.client.customers(f"voice:{number}")
        items = [item for customer in customers for item in await branch.client.timeline(customer)]
        return [item for item in items if item["kind"] == "call"]

    def done(items: list[Json]) -> bool:
        return [(item["status"], bool(item["text"])) for item in items] == [(status, transcribed)]

    (item,) = await until(found, done)
    return item


async def test_who_leaves_a_message_is_shown_once_with_all_that_was_said_and_waits(branch: Branch) -> None:
    number, site = person(), branch.client.site
    stream = f"{site.bases['notifier'][0]}/notifier/v1/stream"
    async with listening(stream, site.token("lea")) as desk:
        await Phone(branch, number, "9", "My lamp <b>hums</b> & flickers").rest()
        item = await the_call(branch, number, "missed", transcribed=True)
        await desk.until(lambda heard: any(each["text"] for each in heard.named("call.updated")))
        told = [
            (name, data)
            for name, data in desk.events
            if name.startswith("call.") and data["call_id"] == item["id"]
        ]
    assert [name for name, _ in told].count("call.started") == 1
    assert [name for name, _ in told].count("call.ended") == 1
    assert told[-1][1]["text"] == item["text"] == "My lamp <b>hums</b> & flickers"
    assert (item["channel"], item["direction"]) == ("voice", "inbound")
    (recording,) = item["attachments"]
    path = f"/conversation/v1/attachments/{recording['id']}"
    file = await until(
        lambda: branch.client.send("GET", path, by="lea"), lambda answer: answer.status_code == 200
    )
    assert file.content.startswith(b"RIFF")
    assert [(each["menu"], each["digits"]) for each in item["choices"]] == [("main", "9")]
    conversation = await branch.status(str(item["conversation_id"]), "new")
    (contact,) = conversation["contacts"]
    assert (contact["id"], contact["channel"]) == (item["contact_id"], "voice")
    assert (contact["started_at"], contact["ended_at"]) == (item["started_at"], item["ended_at"])


async def test_a_call_is_offered_taken_and_over_when_the_caller_hangs_up(branch: Branch) -> None:
    agent, number = await branch.agent(signed_on=False), person()
    path = f"/router/v1/agents/{agent}"
    signed_on = await branch.client.act(agent, "PUT", f"{path}/availability", {"voice": True})
    assert signed_on.status_code == 200
    phone = Phone(branch, number, "2")
    assert "<Gather" in await phone.step()
    assert "<Enqueue" in await phone.step()
    item = await the_call(branch, number, "in_progress")
    offers = await until(
        lambda: branch.client.get(f"{path}/offers", by=agent), lambda found: bool(found["items"])
    )
    (offer,) = offers["items"]
    assert (offer["channel"], offer["channel_class"]) == ("voice", "voice")
    accepted = await branch.client.act(agent, "POST", f"/router/v1/offers/{offer['id']}/accept")
    assert accepted.status_code == 200
    conversation = str(item["conversation_id"])
    await branch.status(conversation, "open")
    load = (await branch.client.get(path))["load"]
    assert (load["voice"], load["messaging"]) == (1, 0)

    refused = await branch.do(agent, conversation, "replies", {"text": "Hello?", "channel": "voice"})
    assert refused.status_code == 422

    await phone.rest()
    over = await branch.status(conversation, "waiting")
    assert over["topics"] == ["billing"]
    ended = await until(lambda: the_call(branch, number, "completed"), told_by_provider)
    (contact,) = (await branch.client.conversation(conversation))["contacts"]
    assert contact["ended_at"] == ended["ended_at"]


def told_by_provider(item: Json) -> bool:
    """Tell whether the end is the one of the status callback: in whole seconds, unlike inferred ones."""
    return str(item["ended_at"]).endswith(".000Z")
