"""Topics are nested and found by what is above them; notes name Agents."""

import pytest
from pydantic import ValidationError

from services.conversation.domain.mentions import MOST_MENTIONS, named
from services.conversation.domain.topics import MOST_TOPICS, added, covers, found_by
from services.conversation.inputs import TopicsInput


def test_a_topic_is_found_by_itself_and_by_all_above_it_each_once() -> None:
    assert found_by(["returns/damaged/badly", "returns/late", "bug"]) == [
        "returns",
        "returns/damaged",
        "returns/damaged/badly",
        "returns/late",
        "bug",
    ]
    assert found_by([]) == []


def test_a_topic_covers_what_is_below_it_and_no_other_word() -> None:
    assert covers("returns", ["a", "returns/damaged"])
    assert covers("returns/damaged", ["returns/damaged"])
    assert not covers("returns/damaged", ["returns"])
    assert not covers("return", ["returns"])


def test_topics_are_kept_once_each_in_small_letters_in_the_order_given() -> None:
    given = TopicsInput(topics=(" Returns/Damaged ", "bug", "returns/damaged", "BUG/", "a_b-c"))
    assert given.topics == ("returns/damaged", "bug", "a_b-c")


@pytest.mark.parametrize("topic", ["", " ", "/", "a//b", "not a topic", "a/ b", "ü", "x" * 101, 7, None])
def test_what_is_no_topic_is_refused(topic: object) -> None:
    with pytest.raises(ValidationError):
        TopicsInput.model_validate({"topics": [topic]})


def test_of_too_many_topics_the_oldest_go() -> None:
    many = tuple(f"t{n}" for n in range(MOST_TOPICS))
    assert added(many, ["new"]) == (*many[1:], "new")
    assert added(many, ["t0"]) == many


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@ana please look", ("ana",)),
        ("please look, @ana.", ("ana",)),
        ("(@ana) and @Ben-1, @ana.lima!", ("ana", "Ben-1", "ana.lima")),
        ("@ana @ANA @Ana", ("ana",)),
        ("write to ana@parley.example", ()),
        ("first.last+x@ana.example or @ana@parley.example", ()),
        ("https://social.example/@ana", ()),
        ("@", ()),
        ("@ ana", ()),
        ("@@ana", ()),
        ("«@žofie»", ("žofie",)),
        ("line\n@ana\n@ben", ("ana", "ben")),
        (" ".join(f"@a{n}" for n in range(50)), tuple(f"a{n}" for n in range(MOST_MENTIONS))),
    ],
)
def test_a_note_names_agents(text: str, names: tuple[str, ...]) -> None:
    assert named(text) == names
