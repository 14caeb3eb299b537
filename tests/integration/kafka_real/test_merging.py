"""Two Customers are merged, and parted again, while both write: two replicas of each, a real Apache Kafka."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.system.client import LEAD, Client, Json
from tests.system.play import Diary, number, shown, write
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(300)

EACH = 25
ANN, BOB = number(1200), number(1201)


async def says(client: Client, diary: Diary, sender: str, texts: Sequence[str]) -> None:
    """Let one person write in order, while others do."""
    for text in texts:
        assert (await write(client, diary, sender, text)).status == 200


async def texts_of(client: Client, customer: str) -> list[str]:
    """Return what is on the timeline, oldest first."""
    items = await client.timeline(customer)
    return [item["text"] for item in reversed(items) if item["kind"] == "message"]


async def open_of(client: Client, customer: str) -> list[Json]:
    found = await client.conversations(customer)
    return [each for each in found if each["status"] != "closed"]


def of(texts: Sequence[str], person: str) -> list[str]:
    return [text for text in texts if text.startswith(person)]


async def test_both_write_while_they_are_merged_and_while_they_are_parted(client: Client) -> None:
    diary = Diary()
    said = {person: [f"{person} {n}" for n in range(3 * EACH + 1)] for person in ("ann", "bob")}
    parts = {
        person: [texts[1 + n * EACH : 1 + (n + 1) * EACH] for n in range(3)] for person, texts in said.items()
    }
    for sender, person in ((ANN, "ann"), (BOB, "bob")):
        await write(client, diary, sender, said[person][0])
        await shown(client, sender, said[person][0])
    (survivor,), (absorbed,) = [await client.customers(f"sms:{sender}") for sender in (ANN, BOB)]

    async def command(path: str, body: Json | None = None) -> Json:
        await asyncio.sleep(0.3)
        answer = await client.insist(LEAD, "POST", path, body)
        assert answer.status_code in (200, 201), answer.text
        done: Json = answer.json()
        return done

    async def watched() -> None:
        """No reader ever sees two."""
        while True:
            for customer in (survivor, absorbed):
                if len(await open_of(client, customer)) > 1:  # a list is no snapshot: one look is no proof
                    assert len(await open_of(client, customer)) <= 1
            await asyncio.sleep(0.05)

    watch = asyncio.create_task(watched())
    body = {"survivor": survivor, "absorbed": absorbed}
    merge, *_ = await asyncio.gather(
        command("/identity/v1/merges", body),
        says(client, diary, ANN, parts["ann"][0]),
        says(client, diary, BOB, parts["bob"][0]),
    )
    await until(lambda: texts_of(client, survivor), lambda found: len(found) >= 2 + 2 * EACH, seconds=120)
    one = await texts_of(client, survivor)
    assert of(one, "ann") == said["ann"][: EACH + 1]
    assert of(one, "bob") == said["bob"][: EACH + 1]
    assert len(await open_of(client, survivor)) == 1
    moved = await client.send("GET", f"/identity/v1/customers/{absorbed}", by=LEAD)
    assert moved.status_code == 308

    await asyncio.gather(
        says(client, diary, ANN, parts["ann"][1]),
        says(client, diary, BOB, parts["bob"][1]),
    )
    await asyncio.gather(
        command(f"/identity/v1/merges/{merge['id']}/undo"),
        says(client, diary, ANN, parts["ann"][2]),
        says(client, diary, BOB, parts["bob"][2]),
    )
    for customer, person in ((survivor, "ann"), (absorbed, "bob")):
        # until the undo is applied the survivor's timeline has both
        await until(
            lambda who=customer: texts_of(client, who),  # type: ignore[misc]
            lambda found, own=said[person]: found == own,  # type: ignore[misc]
            seconds=120,
        )
        assert len(await open_of(client, customer)) == 1
    assert not watch.done(), watch.exception()
    watch.cancel()
