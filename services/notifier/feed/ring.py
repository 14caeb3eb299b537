"""The latest items of one partition, from which most streams resume."""

from collections import deque
from collections.abc import Collection

from services.notifier.feed.items import Item


class Ring:
    """Complete from offset `start` on; keeps at most so many items and bytes."""

    def __init__(self, start: int, records: int, size: int) -> None:
        self.start = start
        self._records = records
        self._size = size
        self._held = 0
        self._items: deque[Item] = deque()

    def add(self, item: Item) -> None:
        """Take in the next item."""
        self._items.append(item)
        self._held += item.size
        while len(self._items) > self._records or self._held > self._size:
            oldest = self._items.popleft()
            self._held -= oldest.size
            self.start = oldest.offset + 1

    def forget(self, customers: Collection[str]) -> None:
        """Drop what is about these Customers; the ring counts as complete without it."""
        self._items = deque(item for item in self._items if item.customer not in customers)
        self._held = sum(item.size for item in self._items)

    def between(self, first: int, end: int) -> list[Item]:
        """Return the items with `first` <= offset < `end`, as far as they are held."""
        return [item for item in self._items if first <= item.offset < end]
