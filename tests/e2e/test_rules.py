"""Rules, as a lead tries them and Customers and Agents meet them; nested Topics; mentions."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Branch, Place, person, placed
from tests.system.client import Client, Json, client_of
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(180)
DRY_RUN = "/conversation/v1/rules/dry-run"
RULES = """
rules:
  - name: damaged
    when: message
    if: {text: [arrived broken, smashed]}
    then: {topic: returns/damaged, priority: 4, note: Ask for a picture., reply: We are sorry to hear that.}
  - name: to-the-fallback
    when: opened
    if: {text: lost at sea}
    then: {inbox: fallback}
  - name: wants-a-ticket
    when: message
    if: {text: open a ticket}
    then: {ticket: customer_request}
  - name: slow
    when: age
    after: 1s
    if: {topic: hurry}
    then: {topic: late, close: true}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a stack of its own, whose rules may change."""
    yield from placed(tmp_path_factory.mktemp("rules"), RULES_RELOAD_SECONDS="0.2")


@pytest.fixture(autouse=True)
async def _ruled(place: Place, client: Client) -> None:
    place.rules.write_text(RULES)
    await rules_in_force(client, 4)


@pytest.fixture
async def client(place: Place) -> AsyncIterator[Client]:
    async with client_of(place.site) as made:
        yield made


async def rules_in_force(client: Client, count: int) -> list[Json]:
    shown = await until(
        lambda: client.get("/conversation/v1/rules"), lambda found: len(found["items"]) == count, seconds=20.0
    )
    return list(shown["items"])


async def of_kind(client: Client, customer: str, kind: str) -> list[Json]:
    return [each for each in await client.timeline(customer) if each["kind"] == kind]


async def test_a_rule_labels_notes_and_answers_once_and_says_which_it_was(branch: Branch) -> None:
    client, sender = branch.client, person()
    conversation = str((await branch.write(sender, "my vase arrived broken"))["conversation_id"])
    found = await client.conversation(conversation)
    assert (found["topics"], found["priority"]) == (["returns/damaged"], 4)
    customer = found["customer_id"]
    (note,) = await of_kind(client, customer, "note")
    assert (note["text"], note["agent"], note["rule"]) == ("Ask for a picture.", None, "damaged")
    assert [each["rule"] for each in await of_kind(client, customer, "topic")] == ["damaged"]

    async def answers() -> list[Json]:
        return [each for each in await client.sent() if each["to"][-9:] == sender[-9:]]

    sent = await until(answers, bool, seconds=20.0)
    assert [each["text"] for each in sent] == ["We are sorry to hear that."]
    await client.webhook(branch.webhook(sender, "my vase arrived broken"))  # the provider repeats itself
    await branch.write(sender, "also the plates are smashed")
    assert len(await of_kind(client, customer, "note")) == 1
    assert len(await answers()) == 1
    agent = await branch.agent()
    await branch.status(conversation, "open")
    queued = await client.get(f"/router/v1/requests/{conversation}")
    assert queued
    assert (await client.conversation(conversation))["agent"] == agent


async def test_a_rule_moves_a_conversation_before_anybody_is_asked(branch: Branch) -> None:
    await branch.agent()
    conversation = await branch.conversation("lost at sea")
    found = await branch.client.conversation(conversation)
    assert (found["inbox"], found["status"], found["agent"]) == ("fallback", "new", None)


async def test_a_rule_makes_a_ticket(branch: Branch) -> None:
    conversation = await branch.conversation("please open a ticket for me")
    found = await until(
        lambda: branch.client.conversation(conversation), lambda each: each["ticket"], seconds=20.0
    )
    number = found["ticket"] if isinstance(found["ticket"], str) else found["ticket"]["number"]
    ticket = await branch.client.get(f"/conversation/v1/tickets/{number}")
    assert ticket["reason"] == "customer_request"


async def test_a_rule_of_age_fires_by_itself_and_new_ones_reach_what_is_there(
    place: Place, branch: Branch
) -> None:
    conversation = await branch.conversation()
    answer = await branch.client.act(
        "lea", "PUT", f"/conversation/v1/conversations/{conversation}/topics", {"topics": ["hurry"]}
    )
    assert answer.status_code == 200
    closed = await branch.status(conversation, "closed")
    assert closed["topics"] == ["hurry", "late"]
    other = await branch.conversation("one more thing")
    rule = f"""
rules:
  - name: all-old-ones
    when: age
    after: 1s
    if: {{inbox: {branch.name}}}
    then: {{close: true}}
"""
    place.rules.write_text(rule)
    await rules_in_force(branch.client, 1)
    await branch.status(other, "closed")


async def test_a_file_that_is_wrong_changes_nothing(place: Place, client: Client) -> None:
    place.rules.write_text(RULES + "  - name: Wrong Name\n")
    place.rules.write_text("rules: [")
    assert len(await rules_in_force(client, 4)) == 4


async def tried(client: Client, body: Json | None, by: str = "lea") -> httpx.Response:
    return await client.act(by, "POST", DRY_RUN, body)


async def test_a_dry_run_tells_what_rules_would_have_done_and_does_nothing(branch: Branch) -> None:
    client = branch.client
    conversation = await branch.conversation("the colour is unexpected")
    rule: dict[str, Any] = {
        "name": "colours",
        "when": "message",
        "if": {"text": "colour", "inbox": branch.name},
        "then": {"topic": "returns/colour", "close": True},
    }
    answer = await tried(client, {"rules": [rule]})
    assert answer.status_code == 200
    (told,) = answer.json()["rules"]
    assert (told["name"], told["fired"], told["conversations"]) == ("colours", 1, 1)
    (item,) = told["items"]
    assert (item["conversation_id"], item["event"]) == (conversation, "message")
    assert item["actions"] == {"topic": ["returns/colour"], "close": True}
    found = await client.conversation(conversation)
    assert (found["topics"], found["status"]) == ([], "new")
    configured = await tried(client, {"limit": 1})
    assert [each["name"] for each in configured.json()["rules"]] == [
        "damaged", "to-the-fallback", "wants-a-ticket", "slow",
    ]  # fmt: skip
    assert configured.json()["conversations"] <= 1


async def test_a_dry_run_is_a_leads_and_names_what_is_wrong(branch: Branch) -> None:
    agent = await branch.agent()
    assert (await tried(branch.client, {}, by=agent)).status_code == 403
    bad = [{"name": "a", "when": "message", "then": {"inbox": "nowhere"}}]
    answer = await tried(branch.client, {"rules": bad})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["rule"]) == ("rules.0.then.inbox", "a")
    assert (
        await tried(branch.client, {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"})
    ).status_code == 422
    assert (await tried(branch.client, {"limit": 0})).status_code == 422


async def test_nested_topics_are_found_by_those_above(branch: Branch) -> None:
    client, conversation = branch.client, await branch.conversation()
    path = f"/conversation/v1/conversations/{conversation}/topics"
    answer = await client.act(
        "lea", "PUT", path, {"topics": ["Returns/Wrong-Size", "returns/wrong-size", "bug"]}
    )
    assert answer.json()["topics"] == ["returns/wrong-size", "bug"]
    for topic, there in (
        ("returns", True),
        ("returns/wrong-size", True),
        ("return", False),
        ("returns/x", False),
    ):
        found = await client.everything("/conversation/v1/conversations", topic=topic, inbox=branch.name)
        assert (conversation in [each["id"] for each in found]) is there


async def test_a_note_mentions_who_may_see_it(branch: Branch) -> None:
    client, conversation = branch.client, await branch.conversation()
    agent, stranger = await branch.agent(), "cleo"
    text = f"@{agent.upper()} and @{stranger}, please write to x@{agent}.example"

    async def written() -> Json:
        answer = await branch.do("lea", conversation, "notes", {"text": text})
        return dict(answer.json())

    note = await until(written, lambda found: found["mentions"], seconds=20.0)
    assert (note["mentions"], note["unknown_mentions"]) == ([agent], [stranger])
    customer = (await client.conversation(conversation))["customer_id"]
    notes = await of_kind(client, customer, "note")
    assert notes[0]["mentions"] == [agent]
