"""Brings each record to the streams that may see it, found by Inbox, Agent and visitor."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from uuid import UUID

from services.chassis.delivery import Delivery
from services.notifier.feed.chats import Chats
from services.notifier.feed.items import Item, item_of, signal_item
from services.notifier.feed.positions import PARTITIONS, Position, Vector, encode
from services.notifier.feed.ring import Ring

_REMEMBERED = 20_000
_REMEMBERED_BY_STREAM = 2_000


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks on: an Agent (`inboxes` None: a lead, who sees all) or a visitor."""

    agent: str | None = None
    inboxes: frozenset[str] | None = frozenset()
    visitor: str | None = None

    def sees(self, item: Item) -> bool:
        """Return whether the viewer may see the item."""
        if self.visitor is not None:
            return self.visitor in item.visitors
        if self.inboxes is None:
            return True
        return item.agent == self.agent or not self.inboxes.isdisjoint(item.inboxes)

    def data(self, item: Item) -> str:
        """Return the item's JSON for this viewer."""
        return item.data if self.visitor is None else item.visitor_data or "{}"

    def interests(self) -> list[Hashable]:
        """Return the names under which items for the viewer are found."""
        if self.visitor is not None:
            return [("visitor", self.visitor)]
        if self.inboxes is None:
            return ["all"]
        return [("agent", self.agent), *(("inbox", inbox) for inbox in self.inboxes)]


class Seen:
    """The latest event ids: a record that was published twice is shown once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: OrderedDict[UUID, None] = OrderedDict()

    def first(self, event_id: UUID) -> bool:
        """Return whether the id is new, and remember it."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True


class Stream:
    """One client. What it has not yet been sent is bounded; one that is too slow is closed."""

    def __init__(self, viewer: Viewer, start: Vector, wanted: Vector, limit: int) -> None:
        self.viewer = viewer
        self.start = dict(start)
        """The hub's place when the stream joined: from here on items come by `offer`."""
        self.ahead = {place: wanted[place] for place in wanted if wanted[place] > start[place]}
        """Where the client is further than this replica: it has what comes before."""
        self.slow = False
        self._limit = limit
        self._items: deque[tuple[Item, str]] = deque()
        self._woken = asyncio.Event()
        self.seen = Seen(_REMEMBERED_BY_STREAM)

    def offer(self, item: Item, vector: Vector, text: str) -> None:
        """Take in an item that happens now. `text` encodes `vector`."""
        if item.offset < self.ahead.get(item.position, 0):
            return
        if len(self._items) >= self._limit:
            self.slow = True
        else:
            self._items.append((item, self.place(vector, text)))
        self._woken.set()

    def place(self, vector: Vector, text: str | None = None) -> str:
        """Return the stream's place where the hub's is `vector`."""
        if self.ahead:
            self.ahead = {place: offset for place, offset in self.ahead.items() if offset > vector[place]}
        if self.ahead:
            return encode({**vector, **self.ahead})
        return text if text is not None else encode(vector)

    async def next(self, seconds: float) -> tuple[Item, str] | None:
        """Return the next item and the place after it; None after so long without one, or when too slow."""
        if not self._items and not self.slow:
            self._woken.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return None
        return None if self.slow or not self._items else self._items.popleft()

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent."""
        return not self._items


class Hub:
    """What all streams of this replica share. `positions` is the tail's own map of next offsets."""

    def __init__(
        self,
        positions: dict[Position, int],
        *,
        ring_records: int,
        ring_bytes: int,
        queue: int,
        on_heard: Callable[[Item], None] = lambda _: None,
    ) -> None:
        self.positions = positions
        self.chats = Chats()
        self.rings: dict[Position, Ring] = {}
        self._ring_size = (ring_records, ring_bytes)
        self._queue = queue
        self._on_heard = on_heard
        self._ends: dict[Position, int] = {}
        self._streams: dict[Hashable, set[Stream]] = {}
        self._agents: dict[str, set[Stream]] = {}
        self._seen = Seen(_REMEMBERED)

    @property
    def begun(self) -> bool:
        """Whether streams can be opened."""
        return bool(self.rings)

    def begin(self, starts: Vector, ends: Vector) -> None:
        """Set out from `starts`; what lies before `ends` is old, and only for those who resume."""
        self._ends = dict(ends)
        for place in PARTITIONS:
            self.positions[place] = starts[place]
            self.rings[place] = Ring(starts[place], *self._ring_size)

    def vector(self) -> dict[Position, int]:
        """Return the place up to which everything has been offered."""
        return {place: self.positions[place] for place in PARTITIONS}

    def receive(self, delivery: Delivery) -> None:
        """Offer a record to the streams that may see it."""
        place = (delivery.topic, delivery.partition)
        self.positions[place] = delivery.offset + 1
        if not self._seen.first(delivery.message.id):
            return
        item = item_of(delivery, self.chats)
        self.rings[place].add(item)
        if delivery.offset >= self._ends.get(place, 0):
            self._on_heard(item)
        self._offer(item)

    def forget(self, customers: Collection[str]) -> None:
        """Forget what was shown of these Customers, who are erased."""
        for ring in self.rings.values():
            ring.forget(customers)

    def signal(self, delivery: Delivery) -> None:
        """Offer what only matters now: it has no place in the log that a stream could resume from."""
        if self._seen.first(delivery.message.id):
            self._offer(signal_item(delivery, self.chats))

    def _offer(self, item: Item) -> None:
        streams = self._for(item)
        if streams:
            vector = self.vector()
            text = encode(vector)
            for stream in streams:
                stream.offer(item, vector, text)

    def open(self, viewer: Viewer, wanted: Vector | None) -> Stream:
        """Add a stream that is at `wanted`, or at the end of the log."""
        now = self.vector()
        stream = Stream(viewer, now, wanted if wanted is not None else self._ends, self._queue)
        self._join(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Remove a stream."""
        for interest in stream.viewer.interests():
            streams = self._streams.get(interest, set())
            streams.discard(stream)
            if not streams:
                self._streams.pop(interest, None)

    def moved(self, agent: str, inboxes: Iterable[str]) -> None:
        """Let the open streams of an Agent follow a change of their Inboxes."""
        for stream in list(self._streams.get(("agent", agent), ())):
            self.close(stream)
            stream.viewer = Viewer(agent, frozenset(inboxes))
            self._join(stream)

    def _join(self, stream: Stream) -> None:
        for interest in stream.viewer.interests():
            self._streams.setdefault(interest, set()).add(stream)

    def _for(self, item: Item) -> set[Stream]:
        interests: list[Hashable] = ["all", ("agent", item.agent)]
        interests += [("inbox", inbox) for inbox in item.inboxes]
        interests += [("visitor", visitor) for visitor in item.visitors]
        return set[Stream]().union(*(self._streams.get(interest, ()) for interest in interests))
