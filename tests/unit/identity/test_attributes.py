"""Whose word counts about a Customer."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from services.identity.domain.attributes import Source
from services.identity.domain.profile import Cause, Profile, change, informed, named, patched
from tests.unit.identity.messages import NOW, PHONE, shown

ANA, BEN = Source("agent:ana", NOW), Source("agent:ben", NOW)
SHOP, CHAT = Source("system:shop", NOW), Source("channel:chat", NOW)
LATER = timedelta(hours=1)


def profile(attributes: Mapping[str, str] | None = None, source: Source | None = None) -> Profile:
    return patched(Profile("c-1"), attributes or {}, source)


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        (ANA, SHOP, "gold"),
        (ANA, CHAT, "gold"),
        (SHOP, CHAT, "gold"),
        (CHAT, SHOP, "silver"),
        (SHOP, SHOP, "silver"),
        (SHOP, Source("system:crm", NOW), "silver"),
    ],
)
def test_an_automatic_source_changes_what_came_from_its_own_rank_or_a_lower_one(
    first: Source, second: Source, value: str
) -> None:
    after = informed(profile({"tier": "gold"}, first), None, {"tier": "silver"}, second)
    assert after.attributes == {"tier": value}
    assert after.sources["tier"] == (first if value == "gold" else second)


def test_what_an_agent_took_away_does_not_come_back_by_itself() -> None:
    without = patched(profile({"tier": "gold"}, SHOP), {"tier": None}, ANA)
    assert informed(without, None, {"tier": "gold"}, SHOP) == without
    assert patched(without, {"tier": "gold"}, BEN).attributes == {"tier": "gold"}


def test_what_the_system_takes_away_is_gone_and_may_come_back() -> None:
    without = informed(profile({"tier": "gold"}, SHOP), None, {"tier": None}, SHOP)
    assert without.attributes == {}
    assert informed(without, None, {"tier": "silver"}, SHOP).attributes == {"tier": "silver"}


def test_an_attribute_whose_source_nobody_knows_is_taken_for_an_agent_s() -> None:
    before = Profile("c-1", attributes={"tier": "gold"})
    assert informed(before, None, {"tier": "silver", "city": "Porto"}, SHOP).attributes == {
        "tier": "gold",
        "city": "Porto",
    }


def test_a_repeat_is_no_news_and_no_change() -> None:
    before = profile({"tier": "gold"}, SHOP)
    again = Source("system:shop", NOW + LATER)
    assert informed(before, None, {"tier": "gold"}, again) == before
    assert patched(before, {"tier": "gold"}, again) == before


def test_an_agent_who_confirms_a_value_makes_it_their_word() -> None:
    confirmed = patched(profile({"tier": "gold"}, SHOP), {"tier": "gold"}, ANA)
    assert confirmed.sources["tier"] == ANA
    assert informed(confirmed, None, {"tier": "silver"}, SHOP) == confirmed


def test_a_name_that_a_channel_showed_gives_way_to_the_system_s_and_an_agent_s_does_not() -> None:
    shown_name = Profile("c-1", name="ada77")
    assert informed(shown_name, "Ada Lovelace", {}, SHOP).name == "Ada Lovelace"
    given = named(shown_name, "Countess", ANA)
    assert informed(given, "Ada Lovelace", {}, SHOP) == given
    taken_away = named(given, None, ANA)
    assert informed(taken_away, "Ada Lovelace", {}, SHOP) == taken_away
    assert informed(shown_name, "", {}, SHOP) == shown_name


def test_an_event_tells_where_each_attribute_came_from() -> None:
    cause = Cause(shown(PHONE).id, shown(PHONE).correlation)
    made = change(Profile("c-1"), named(profile({"tier": "gold"}, SHOP), "Ada", ANA), cause, NOW)
    assert made is not None
    personal = made.event.personal
    assert personal.attribute_sources is not None
    assert personal.attribute_sources["tier"].source == "system:shop"
    assert personal.name_source is not None
    assert personal.name_source.source == "agent:ana"
    silent = change(Profile("c-1"), Profile("c-1", name="Ada"), cause, NOW)
    assert silent is not None
    assert b"_source" not in silent.event.json_bytes()


def test_no_more_removals_are_remembered_than_there_may_be_attributes() -> None:
    now = profile()
    for number in range(150):
        now = patched(now, {f"a{number}": "x"}, ANA)
        now = patched(now, {f"a{number}": None}, ANA)
    assert len(now.sources) == 100
    assert "a149" in now.sources
