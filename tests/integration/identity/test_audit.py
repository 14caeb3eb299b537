"""The audit trail of a Customer, as leads read it."""

from typing import Any

from schemas import ids
from schemas.audit import AuditData, AuditEntry
from services.chassis.delivery import HANDLED, Delivery
from services.chassis.mongo import Database
from services.identity.audit import Audit
from tests.integration.identity.test_api import PATH, SMS, Api, api  # noqa: F401  (a fixture)
from tests.unit.identity.messages import NOW


async def trail(api: Api, customer: str, **query: Any) -> list[tuple[str, str, dict[str, str]]]:  # noqa: F811
    written = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await api("GET", f"{PATH}/{customer}/audit?{written}", role="lead")
    assert answer.status_code == 200, answer.text
    return [(each["actor"], each["action"], each["what"]) for each in answer.json()["items"]]


async def test_each_look_and_change_is_in_the_trail_before_the_next_answer(api: Api) -> None:  # noqa: F811
    made = await api.made(SMS)
    path = f"{PATH}/{made['id']}"
    await api("GET", path)
    await api("PATCH", path, {"name": "Ada Lovelace", "attributes": {"tier": "gold"}})
    await api("POST", f"{path}/identifiers", {"kind": "email", "value": "ada@mail.example"})
    await api("DELETE", f"{path}/identifiers/email/ada@mail.example")
    await api("GET", f"{PATH}?identifier=sms:%2B15551230001")
    assert await trail(api, made["id"]) == [
        ("ana", "customer.found", {}),
        ("ana", "identifier.removed", {"kind": "email"}),
        ("ana", "identifier.added", {}),
        ("ana", "customer.changed", {"fields": "name, attributes.tier"}),
        ("ana", "customer.viewed", {}),
        ("ana", "customer.created", {}),
    ]
    assert (await trail(api, made["id"]))[0] == ("ana", "audit.viewed", {})


async def test_it_holds_no_word_of_the_customer(api: Api, database: Database) -> None:  # noqa: F811
    made = await api.made(SMS)
    await api("PATCH", f"{PATH}/{made['id']}", {"name": "Ada Lovelace"})
    await api("DELETE", f"{PATH}/{made['id']}/identifiers/sms/+15551230001")
    kept = [row async for row in database["audit"].find({})]
    kept += [row async for row in database["audit_waiting"].find({})]
    for word in ("Ada", "15551230001"):
        assert word not in repr(kept)


async def test_only_leads_read_it_and_who_never_was_is_unknown(api: Api) -> None:  # noqa: F811
    made = await api.made(SMS)
    assert (await api("GET", f"{PATH}/{made['id']}/audit")).status_code == 403
    assert (await api("GET", f"{PATH}/nobody/audit", role="lead")).status_code == 404


async def test_what_other_services_note_is_learnt_once_and_listed_in_pages(
    api: Api,  # noqa: F811
    database: Database,
) -> None:
    audit, customer = Audit(database), (await api.made(SMS))["id"]
    await database["audit"].delete_many({})
    data = AuditData(actor="ben", action="timeline.viewed", service="conversation")
    entries = [
        AuditEntry(
            id=ids.derive("entry", number),
            occurred_at=NOW.replace(minute=number),
            correlation=ids.derive("entry", number),
            customer_id=customer,
            home=customer,
            data=data,
        )
        for number in range(3)
    ]
    batch = [Delivery("audit.entries", 0, number, entry) for number, entry in enumerate(entries)]
    for _ in range(2):
        assert await audit.learn(batch) == [HANDLED] * 3
    first = await api("GET", f"{PATH}/{customer}/audit?limit=2", role="lead")
    assert [each["at"][14:16] for each in first.json()["items"]] == ["02", "01"]
    (last,) = await trail(api, customer, cursor=first.json()["next_cursor"])
    assert last == ("ben", "timeline.viewed", {})


async def test_a_merge_is_in_the_trail_of_both_and_the_survivor_s_shows_both(api: Api) -> None:  # noqa: F811
    one, other = await api.made(SMS), await api.made({"kind": "email", "value": "ada@mail.example"})
    body = {"survivor": one["id"], "absorbed": other["id"]}
    merge = await api("POST", "/identity/v1/merges", body, role="lead")
    assert merge.status_code == 201
    shown = await trail(api, one["id"])
    assert [each[1] for each in shown].count("customers.merged") == 2
    assert [each[1] for each in shown].count("customer.created") == 2
    moved = await api("GET", f"{PATH}/{other['id']}/audit", role="lead")
    assert moved.status_code == 308
    undone = await api("POST", f"/identity/v1/merges/{merge.json()['id']}/undo", role="lead")
    assert undone.status_code == 200
    assert [each[1] for each in await trail(api, other["id"])] == [
        "merge.undone",
        "customers.merged",
        "customer.created",
    ]
