"""Which changes of a Conversation are kept as moments."""

from services.conversation.domain import lifecycle
from services.conversation.handlers import Loaded
from tests.unit.conversation.builders import at, draft, empty, message, received


def test_only_the_first_of_several_messages_shows_more_than_the_time() -> None:
    item = Loaded(empty())
    for number in range(3):
        item.take(received(item.thread, message(number, seconds=number)))
    assert [(each.at, each.seen) for each in item.moments] == [
        (at(0), True),
        (at(1), False),
        (at(2), False),
    ]


def test_what_can_be_seen_is_kept_with_its_own_time_even_within_one_save() -> None:
    item = Loaded(empty())
    item.take(received(item.thread, message(1)))
    for number, topics in enumerate([("a",), ("a", "b")], start=1):
        change = draft(item.thread, number)
        lifecycle.set_topics(change, topics)
        item.take(change)
    change = draft(item.thread, 3)
    lifecycle.close(change, confirmed=True)
    item.take(change)
    assert [(each.at, each.conversation.topics, each.seen) for each in item.moments] == [
        (at(0), (), True),
        (at(1), ("a",), True),
        (at(2), ("a", "b"), True),
        (at(3), ("a", "b"), True),
    ]
    assert item.moments[-1].conversation.contacts[0].ended_at == at(3)


def test_a_new_conversation_in_place_of_a_closed_one_is_seen_and_the_old_one_is_left() -> None:
    item = Loaded(empty())
    item.take(received(item.thread, message(1)))
    change = draft(item.thread, 1)
    lifecycle.close(change, confirmed=None)
    item.take(change)
    first = item.moments[0].conversation.id
    item.take(received(item.thread, message(2, seconds=200_000)))
    assert [each.conversation.id == first for each in item.moments] == [True, True, False]
    assert item.moments[-1].seen
