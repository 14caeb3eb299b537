"""Times from the environment, made small: the reopen window, and the end of an idle Contact."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.conftest import Branch, Place, person, placed
from tests.system.client import Client, client_of
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give a stack in which little time passes."""
    yield from placed(
        tmp_path_factory.mktemp("hasty"),
        REOPEN_WINDOW_SECONDS="0.5",
        CONTACT_IDLE_SECONDS="1",
        SAME_AGENT_SECONDS="60",
    )


@pytest.fixture
async def client(hasty: Place) -> AsyncIterator[Client]:
    async with client_of(hasty.site) as made:
        yield made


async def test_after_the_window_a_message_begins_a_new_conversation_and_the_old_one_stays_closed(
    branch: Branch,
) -> None:
    sender = person()
    first = (await branch.write(sender, "the first thing"))["conversation_id"]
    closed = (await branch.do("lea", first, "close")).json()
    assert closed["status"] == "closed"
    # each message is judged by when it came: one after the window is there once one is in a new Conversation
    number = 0

    async def write() -> str:
        nonlocal number
        number += 1
        again = (await branch.write(sender, f"the next thing, number {number}"))["conversation_id"]
        if again == first:
            await branch.do("lea", first, "close")
        return str(again)

    second = await until(write, lambda found: found != first, pause=0.7)
    old, new = await branch.client.conversation(first), await branch.client.conversation(second)
    assert (old["status"], new["status"]) == ("closed", "new")
    refused = await branch.do("lea", first, "reopen")
    assert refused.status_code == 409
    assert second in refused.json()["detail"]
    assert "new" in refused.json()["detail"]
    await branch.do("lea", second, "close")
    assert (await branch.do("lea", first, "reopen")).json()["status"] == "new"


async def test_an_answered_contact_ends_when_idle_and_its_conversation_waits(branch: Branch) -> None:
    agent, sender = await branch.agent(), person()
    conversation = (await branch.write(sender, "when do you open?"))["conversation_id"]
    await branch.status(conversation, "open")
    await branch.do(agent, conversation, "replies", {"text": "at nine"})
    waiting = await branch.status(conversation, "waiting")
    assert [bool(contact["ended_at"]) for contact in waiting["contacts"]] == [True]
    load = await until(
        lambda: branch.client.get(f"/router/v1/agents/{agent}"), lambda found: not found["load"]["total"]
    )
    assert load["availability"]["sms"]
    await branch.write(sender, "and on Sunday, are you open then?")
    back = await branch.status(conversation, "open")
    assert back["agent"] == agent
    assert len(back["contacts"]) == 2


async def test_a_customer_who_waits_for_an_answer_is_never_made_to_wait_longer(branch: Branch) -> None:
    asked, answered = person(), person()
    open_one = (await branch.write(asked, "nobody answers me, why?"))["conversation_id"]
    other = (await branch.write(answered, "and me, why?"))["conversation_id"]
    await branch.do("lea", other, "replies", {"text": "sorry, here we are"})
    await branch.status(other, "waiting")  # by then the first one's idle time is over, too
    still = await branch.client.conversation(open_one)
    assert (still["status"], still["contacts"][0]["ended_at"]) == ("new", None)
