"""Suggestions on the real database protocol: claims, conflicts, names, and what was merged or dismissed."""

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.common import Channel, Identifier, IdentifierKind
from services.chassis.mongo import Database
from services.identity.handlers import Customers
from services.identity.suggestions import Suggestions
from tests.integration.identity.conftest import Identity
from tests.integration.identity.test_api import PATH, Api, api  # noqa: F401  (a fixture)
from tests.unit.identity.messages import EMAIL, MAIL_FROM, NOW, OTHER_PHONE, PHONE, batch, shown


class Desk:
    """identity with suggestions, and Customers by number."""

    def __init__(self, identity: Identity, database: Database) -> None:
        self.database = database
        self.suggesting = Suggestions(database, lambda: NOW)
        known = identity.customers
        self.customers = Customers(
            known.store,
            known.merges,
            known.publisher,
            known.new_customer,
            known.clock,
            self.suggesting.note,
        )

    async def says(self, *identifiers: Identifier, **options: Any) -> str:
        """Let somebody write; return their Customer."""
        await self.customers.identify(batch(shown(*identifiers, **options)))
        owner = await self.database["identifiers"].find_one(
            {"_id": f"{identifiers[0].kind}:{identifiers[0].value}"}
        )
        assert owner is not None
        return str(owner["customer_id"])

    async def of(self, customer: str) -> list[tuple[str, str, float]]:
        found = await self.suggesting.of([customer])
        return [(each.customer_id, each.reason, each.score) for each in found]


@pytest.fixture
async def desk(identity: Identity, database: Database) -> Desk:
    made = Desk(identity, database)
    await made.suggesting.prepare()
    return made


def visitor(number: int) -> Identifier:
    return Identifier(kind=IdentifierKind.VISITOR, value=f"v-{number}", verified=True)


async def test_a_claimed_address_links_nobody_and_suggests_its_owner(desk: Desk) -> None:
    owner = await desk.says(EMAIL, channel=Channel.EMAIL)
    chatting = await desk.says(visitor(1), MAIL_FROM, channel=Channel.CHAT)
    assert chatting != owner
    stored = await desk.database["customers"].find_one({"_id": chatting})
    assert stored is not None
    assert [each["kind"] for each in stored["identifiers"]] == ["visitor"]
    assert await desk.of(chatting) == [(owner, "claimed_identifier_of", 0.6)]
    assert await desk.of(owner) == [(chatting, "claimed_identifier_of", 0.6)]
    (claim,) = await desk.suggesting.claims_of([chatting])
    assert (claim["identifier"], claim["source"]) == ("email:ada@example.org", "channel:chat")


async def test_two_who_claim_the_same_are_suggested_and_a_name_adds_to_it(desk: Desk) -> None:
    first = await desk.says(visitor(1), MAIL_FROM, channel=Channel.CHAT, name="Ada Lovelace")
    other = await desk.says(visitor(2), MAIL_FROM, channel=Channel.CHAT)
    assert await desk.of(first) == [(other, "same_claimed_email", 0.5)]
    namesake = await desk.says(visitor(3), MAIL_FROM, channel=Channel.CHAT, name="Ada Lovelace")
    assert await desk.of(first) == [
        (namesake, "same_claimed_email", 0.6),
        (other, "same_claimed_email", 0.5),
    ]


async def test_a_message_with_identifiers_of_two_suggests_each_to_the_other(desk: Desk) -> None:
    mailing, calling = await desk.says(EMAIL), await desk.says(PHONE)
    await desk.says(MAIL_FROM, PHONE, number=2)
    assert await desk.of(calling) == [(mailing, "contradicting_identifier", 0.8)]
    assert await desk.of(mailing) == [(calling, "contradicting_identifier", 0.8)]


async def test_a_repeated_message_is_one_claim(desk: Desk) -> None:
    for _ in range(3):
        chatting = await desk.says(visitor(1), MAIL_FROM, channel=Channel.CHAT)
    assert len(await desk.suggesting.claims_of([chatting])) == 1


async def test_an_absorbed_customer_is_suggested_as_its_survivor_and_an_erased_one_not_at_all(
    desk: Desk,
) -> None:
    owner, survivor = await desk.says(EMAIL), await desk.says(PHONE)
    chatting = await desk.says(visitor(1), MAIL_FROM, channel=Channel.CHAT)
    await desk.database["customers"].update_one({"_id": owner}, {"$set": {"merged_into": survivor}})
    assert [each[0] for each in await desk.of(chatting)] == [survivor]
    await desk.database["customers"].update_one({"_id": owner}, {"$set": {"merged_into": chatting}})
    assert await desk.of(chatting) == []
    await desk.database["customers"].update_one(
        {"_id": owner}, {"$unset": {"merged_into": ""}, "$set": {"erased_at": NOW}}
    )
    assert await desk.of(chatting) == []


async def test_the_list_a_dismissal_and_who_is_not_there(api: Api, desk: Desk) -> None:  # noqa: F811
    owner, other = await desk.says(EMAIL), await desk.says(OTHER_PHONE)
    chatting = await desk.says(visitor(1), MAIL_FROM, channel=Channel.CHAT)

    async def listed(customer: str) -> Sequence[dict[str, Any]]:
        answer = await api("GET", f"{PATH}/{customer}/suggestions")
        assert answer.status_code == 200, answer.text
        assert answer.json()["next_cursor"] is None
        items: Sequence[dict[str, Any]] = answer.json()["items"]
        return items

    (item,) = await listed(chatting)
    assert (item["customer_id"], item["reason"], item["score"]) == (owner, "claimed_identifier_of", 0.6)
    assert item["evidence"][0]["identifier"] == {"kind": "email", "value": "ada@example.org"}
    assert await listed(other) == []
    dismissed = await api("POST", f"{PATH}/{owner}/suggestions/{chatting}/dismiss")
    assert dismissed.status_code == 204
    assert await listed(chatting) == []
    assert await listed(owner) == []
    assert (await api("POST", f"{PATH}/{owner}/suggestions/{owner}/dismiss")).status_code == 422
    assert (await api("GET", f"{PATH}/nobody/suggestions")).status_code == 404
