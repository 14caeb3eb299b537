"""The tail that every replica reads."""

from aiokafka import TopicPartition

from schemas.topics import MESSAGES_DELIVERY
from services.chassis.deadletters.letter import FOR_GROUP
from services.chassis.delivery import Delivery
from services.chassis.settings import Settings
from services.chassis.tail import Tail
from tests.suites.consumed import consumed
from tests.suites.delivery import record


def test_a_record_that_cannot_be_read_or_shown_does_not_end_the_feed() -> None:
    shown: list[int] = []

    def receive(delivery: Delivery) -> None:
        if delivery.offset == 1:
            raise LookupError
        shown.append(delivery.offset)

    tail = Tail(Settings(), "test", [MESSAGES_DELIVERY], receive)
    tp = TopicPartition(MESSAGES_DELIVERY.name, 0)
    values = [record("k", 0).value, record("k", 1).value, b"{", None, record("k", 4).value]
    for offset, value in enumerate(values):
        tail._take(tp, consumed(tp.topic, offset, value=value), value or b"")  # noqa: SLF001  (one record, as the loop takes it)
    assert shown == [0, 4]
    assert tail.positions == {(MESSAGES_DELIVERY.name, 0): 5}


def test_a_record_published_again_for_one_group_is_not_shown_again() -> None:
    shown: list[int] = []
    tail = Tail(Settings(), "test", [MESSAGES_DELIVERY], lambda delivery: shown.append(delivery.offset))
    tp = TopicPartition(MESSAGES_DELIVERY.name, 0)
    again = consumed(tp.topic, 7, value=record("k", 0).value, headers=[(FOR_GROUP, b"notifier")])
    tail._take(tp, again, again.value)  # noqa: SLF001  (as above)
    assert shown == []
    assert tail.positions == {(MESSAGES_DELIVERY.name, 0): 8}
