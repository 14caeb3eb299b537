"""Tickets and Tasks, as Agents, leads, Customers and outside trackers meet them over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from schemas.routing import Capacity
from tests.e2e.conftest import Branch, person
from tests.system.client import Client, Json
from tests.system.play import sign_off
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(180)
TICKETS, TASKS = "/conversation/v1/tickets", "/conversation/v1/tasks"


async def ticket(branch: Branch, by: str, conversation: str, reason: str = "bug") -> httpx.Response:
    return await branch.do(by, conversation, "tickets", {"reason": reason})


async def customer_of(branch: Branch) -> str:
    conversation = await branch.conversation()
    return str((await branch.client.conversation(conversation))["customer_id"])


async def make(client: Client, customer: str, body: Json, *, by: str = "lea") -> httpx.Response:
    path = f"/conversation/v1/customers/{customer}/tasks"
    return await client.act(by, "POST", path, {"title": "Call back", **body})


async def assigned(client: Client, task: str, agent: str | None) -> Json:
    return await until(
        lambda: client.get(f"{TASKS}/{task}"), lambda found: found["assignee"] == agent, seconds=20.0
    )


async def test_a_ticket_is_numbered_once_told_to_the_customer_and_outlives_the_close(branch: Branch) -> None:
    sender, client = person(), branch.client
    conversation = (await branch.write(sender, "my parcel vanished"))["conversation_id"]
    agent = await branch.agent()
    made = await ticket(branch, agent, conversation, "investigation")
    assert made.status_code == 201
    number = made.json()["number"]
    assert number.startswith("T-")
    again = await ticket(branch, "lea", conversation)
    assert (again.status_code, again.json()["number"], again.json()["reason"]) == (
        200,
        number,
        "investigation",
    )

    async def told() -> list[Json]:
        return [
            each for each in await client.sent() if each["to"][-9:] == sender[-9:] and number in each["text"]
        ]

    assert len(await until(told, bool, seconds=60.0)) == 1
    assert (await client.conversation(conversation))["ticket"] == number
    assert (await branch.do(agent, conversation, "close")).status_code == 200
    shown = await client.get(f"{TICKETS}/{number}")
    assert (shown["status"], shown["conversation"]["status"]) == ("open", "closed")
    assert shown["notice"]["not_sent"] is None
    items = await client.everything(shown["timeline"].partition("?")[0], conversation=conversation)
    assert {"message", "ticket"} <= {item["kind"] for item in items}
    assert {item["conversation_id"] for item in items} == {conversation}


async def test_a_ticket_is_worked_on_by_itself_and_the_timeline_says_by_whom(branch: Branch) -> None:
    conversation, client = await branch.conversation(), branch.client
    number = (await ticket(branch, "lea", conversation)).json()["number"]
    link = {"system": "jira", "url": "https://jira.example/PAR-7", "id": "PAR-7"}
    body = {"status": "pending", "assignee": "ben", "due_at": "2030-01-02T03:04:05Z", "links": [link]}
    changed = (await client.act("lea", "PATCH", f"{TICKETS}/{number}", body)).json()
    assert (changed["status"], changed["assignee"], changed["links"]) == ("pending", "ben", [link])
    assert changed["due_at"] == "2030-01-02T03:04:05.000Z"
    listed = await client.everything(
        TICKETS, status="pending", assignee="ben", customer=changed["customer_id"]
    )
    assert [each["number"] for each in listed] == [number]
    item = next(item for item in await client.timeline(changed["customer_id"]) if item["kind"] == "ticket")
    assert (item["agent"], item["before"]["status"], item["after"]["assignee"]) == ("lea", "open", "ben")
    resolved = await client.act("lea", "PATCH", f"{TICKETS}/{number}", {"status": "resolved"})
    assert resolved.json()["resolved_at"] is not None
    assert await client.everything(TICKETS, status="open", customer=changed["customer_id"]) == []
    reopened = await client.act("lea", "PATCH", f"{TICKETS}/{number}", {"status": "open"})
    assert (reopened.json()["status"], reopened.json()["assignee"]) == ("open", "ben")


async def test_who_does_not_see_the_conversation_does_not_see_its_ticket(branch: Branch) -> None:
    number = (await ticket(branch, "lea", await branch.conversation())).json()["number"]
    own = await branch.agent(signed_on=False)
    await until(
        lambda: branch.client.send("GET", f"{TICKETS}/{number}", by=own),
        lambda answer: answer.status_code == 200,
    )
    for method, path, body in (
        ("GET", f"{TICKETS}/{number}", None),
        ("PATCH", f"{TICKETS}/{number}", {"status": "resolved"}),
    ):
        assert (await branch.client.act("stranger", method, path, body)).status_code == 404
    seen = await branch.client.get(TICKETS, by="stranger")
    assert seen["items"] == []
    assert (await branch.client.send("GET", f"{TICKETS}/T-999999", by="lea")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "field"),
        ({"status": "done"}, "status"),
        ({"status": None}, "status"),
        ({"due_at": "tomorrow"}, "due_at"),
        ({"links": [{"system": "jira"}]}, "links"),
        ({"links": [{"system": "jira", "url": "javascript:alert(1)"}]}, "links"),
        ({"owner": "ben"}, "owner"),
    ],
)
async def test_a_wrong_change_of_a_ticket_is_named(branch: Branch, body: Json, field: str) -> None:
    number = (await ticket(branch, "lea", await branch.conversation())).json()["number"]
    refused = await branch.client.act("lea", "PATCH", f"{TICKETS}/{number}", body)
    assert refused.status_code == 422
    assert field in refused.json()["detail"]


async def test_a_command_that_comes_again_makes_no_second_ticket_or_task(branch: Branch) -> None:
    conversation, client = await branch.conversation(), branch.client
    customer = (await client.conversation(conversation))["customer_id"]
    paths = {
        f"/conversation/v1/conversations/{conversation}/tickets": {"reason": "compliance"},
        f"/conversation/v1/customers/{customer}/tasks": {"title": "Call back"},
    }
    for path, body in paths.items():
        key = uuid4().hex
        answers = await asyncio.gather(*(client.act("lea", "POST", path, body, key=key) for _ in range(4)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
    assert len(await client.everything(TASKS, customer=customer)) == 1


async def test_a_task_is_routed_by_itself_and_done_gives_the_room_back(branch: Branch) -> None:
    customer, client = await customer_of(branch), branch.client
    agent = await branch.agent(Capacity(tasks=1))
    one = (await make(client, customer, {"inbox": branch.name, "due_at": "2030-01-02T03:04:05Z"})).json()
    await assigned(client, one["id"], agent)
    two = (await make(client, customer, {"inbox": branch.name})).json()
    queue = await until(
        lambda: client.get("/router/v1/queues", inbox=branch.name),
        lambda found: any(each["channel_class"] == "tasks" and each["depth"] == 1 for each in found["items"]),
    )
    assert queue["items"]
    done = await client.act(agent, "PATCH", f"{TASKS}/{one['id']}", {"status": "done"})
    assert (done.status_code, done.json()["status"], done.json()["assignee"]) == (200, "done", agent)
    await assigned(client, two["id"], agent)
    explained = await client.get(f"/router/v1/requests/{two['id']}")
    assert (explained["kind"], explained["task_id"], explained["agent"]) == ("task", two["id"], agent)
    mine = await client.everything(TASKS, assignee=agent, status="open")
    assert [each["id"] for each in mine] == [two["id"]]
    late = await client.everything(TASKS, customer=customer, due_before="2031-01-01T00:00:00Z")
    assert [each["id"] for each in late] == [one["id"]]
    kinds = [item["change"] for item in await client.timeline(customer) if item["kind"] == "task"]
    assert sorted(kinds) == ["changed", "changed", "changed", "created", "created"]


async def test_a_named_assignee_is_asked_for_and_refused_when_full_away_or_unknown(branch: Branch) -> None:
    customer, client = await customer_of(branch), branch.client
    agent = await branch.agent(Capacity(tasks=1))
    taken = await make(client, customer, {"assignee": agent})
    assert (taken.status_code, taken.json()["assignee"], taken.json()["inbox"]) == (201, agent, branch.name)
    for other in (agent, await branch.agent(signed_on=False), "nobody"):
        refused = await make(client, customer, {"assignee": other})
        assert refused.status_code == 409, refused.text
        assert other in refused.json()["detail"]
    assert len(await client.everything(TASKS, customer=customer)) == 1
    assert (await make(client, customer, {"assignee": agent, "force": True}, by=agent)).status_code == 403
    forced = await make(client, customer, {"assignee": agent, "force": True})
    assert (forced.status_code, forced.json()["assignee"]) == (201, agent)
    load = (await client.get(f"/router/v1/agents/{agent}"))["load"]
    assert load["tasks"] == 2


async def test_an_assignee_changes_by_the_routers_word_and_leaves_with_the_agent(branch: Branch) -> None:
    customer, client = await customer_of(branch), branch.client
    task = (await make(client, customer, {"inbox": branch.name})).json()
    path = f"{TASKS}/{task['id']}"
    first = await branch.agent()
    await assigned(client, task["id"], first)
    second = await branch.agent()
    moved = await client.act("lea", "PATCH", path, {"assignee": second, "title": "Write back"})
    assert (moved.status_code, moved.json()["assignee"], moved.json()["title"]) == (200, second, "Write back")
    refused = await client.act("lea", "PATCH", path, {"assignee": "nobody", "title": "Never"})
    assert refused.status_code == 409
    kept = await client.get(path)
    assert (kept["assignee"], kept["title"]) == (second, "Write back")
    await sign_off(client, second)
    await assigned(client, task["id"], first)


async def test_a_finished_task_is_opened_again_before_it_is_changed(branch: Branch) -> None:
    customer, client = await customer_of(branch), branch.client
    path = f"{TASKS}/{(await make(client, customer, {})).json()['id']}"
    assert (await client.act("lea", "PATCH", path, {"status": "cancelled"})).status_code == 200
    refused = await client.act("lea", "PATCH", path, {"title": "Too late"})
    assert (refused.status_code, refused.json()["state"]) == (409, "cancelled")
    again = await client.act("lea", "PATCH", path, {"status": "open", "title": "In time"})
    assert (again.json()["status"], again.json()["title"]) == ("open", "In time")
    both = await client.act("lea", "PATCH", path, {"assignee": "ana", "inbox": branch.name})
    assert both.status_code == 422
    nowhere = await client.act("lea", "PATCH", path, {"inbox": "nowhere"})
    assert (nowhere.status_code, nowhere.json()["errors"][0]["field"]) == (422, "inbox")


async def test_a_due_task_is_told_to_the_live_feed_once(branch: Branch) -> None:
    customer, client = await customer_of(branch), branch.client
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    made = (await make(client, customer, {"due_at": soon})).json()
    heard: list[str] = []
    url = f"{client.site.bases['notifier'][0]}/notifier/v1/stream"
    headers = {"Authorization": f"Bearer {client.site.token('lea')}"}
    async with asyncio.timeout(30), client.http.stream("GET", url, headers=headers) as stream:
        async for line in stream.aiter_lines():
            if made["id"] in line and '"task.due"' in line:
                heard.append(line)
                break
    assert len(heard) == 1
    due = [item for item in await client.timeline(customer) if item.get("change") == "due"]
    assert len(due) == 1
