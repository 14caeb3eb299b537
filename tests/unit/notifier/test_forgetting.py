"""A replica's feed forgets who is erased, and resumes all others from memory."""

from services.chassis.delivery import Delivery
from services.notifier.feed.hub import Hub
from services.notifier.feed.positions import PARTITIONS
from tests.unit.notifier.feeding import EVENTS, message


def test_what_was_shown_of_an_erased_customer_is_not_in_memory_any_more() -> None:
    start = dict.fromkeys(PARTITIONS, 0)
    hub = Hub(dict(start), ring_records=10, ring_bytes=100_000, queue=100)
    hub.begin(start, start)
    for offset, (name, customer) in enumerate((("a", "c1"), ("b", "c2"), ("c", "c1"))):
        record = message(name).model_copy(update={"customer_id": customer, "home": customer})
        hub.receive(Delivery(EVENTS, 0, offset, record))
    ring = hub.rings[EVENTS, 0]
    hub.forget({"c1"})
    assert [(item.offset, item.customer) for item in ring.between(0, 3)] == [(1, "c2")]
    assert ring.start == 0
    hub.receive(Delivery(EVENTS, 0, 3, message("d")))
    assert [item.offset for item in ring.between(0, 4)] == [1, 3]
