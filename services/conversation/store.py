"""Threads, Conversations and timelines in MongoDB."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pymongo import ASCENDING, DESCENDING, IndexModel, InsertOne, ReplaceOne
from pymongo.errors import PyMongoError

from schemas.conversations import Status
from services.chassis import metrics
from services.chassis.broker import Publisher
from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import Database, Document, bulk, lost_race
from services.chassis.outbox import Outbox, from_document
from services.conversation import history_store, search_store
from services.conversation.documents import conversation_document, conversation_of, line_of, loaded_of, saved
from services.conversation.domain.model import Conversation, Thread
from services.conversation.domain.rules import Known
from services.conversation.domain.ruling.definition import NO_AGING
from services.conversation.domain.tickets import Numbered
from services.conversation.handlers import Loaded
from services.conversation.kept import Kept

_WOKEN_AT_ONCE = 1000
_JUST = timedelta(minutes=30)
_KNOWN = {"status_seq": 1, "channel": 1, "account": 1, "to": 1}


class Store:
    """Implements handlers.ThreadStore, and the reads of the API."""

    def __init__(self, database: Database, publisher: Publisher, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._client = database.client
        self._threads = database["threads"]
        self._agents = database["agents"]
        self._customers = database["customers"]
        self._settled = database["settled"]
        self.conversations = database["conversations"]
        self.timeline = database["timeline"]
        self.history = database[history_store.COLLECTION]
        self.kept = Kept(database)
        self.outbox = Outbox(database, "threads", publisher)

    async def prepare(self) -> None:
        """Create the indexes. The unique one is a backstop: versions keep the rule."""
        await self._threads.create_index([("next_due", ASCENDING)], sparse=True, name="due")
        await self._agents.create_index([("folded", ASCENDING)], sparse=True, name="by_folded")
        await self.outbox.prepare()
        newest = [("opened_at", DESCENDING), ("_id", DESCENDING)]
        await self.conversations.create_indexes(
            [
                IndexModel(
                    [("customer_id", ASCENDING)],
                    name="one_open",
                    unique=True,
                    partialFilterExpression={"open": True},
                ),
                IndexModel(newest, name="newest"),
                *(
                    IndexModel([(name, ASCENDING), *newest], name=f"by_{name}")
                    for name in ("home", "status", "inbox", "agent", "topics")
                ),
            ]
        )
        places = [("at", DESCENDING), ("seq", DESCENDING), ("_id", DESCENDING)]
        await self.timeline.create_indexes(
            [
                IndexModel([("home", ASCENDING), *places], name="by_home"),
                IndexModel(
                    [("account", ASCENDING), ("address", ASCENDING), *places],
                    name="by_visitor",
                    partialFilterExpression={"channel": "chat"},
                ),
                IndexModel([("attachments.id", ASCENDING)], name="by_attachment", sparse=True),
                search_store.INDEX,
                IndexModel([("conversation_id", ASCENDING), *places], name="by_conversation"),
            ]
        )
        await self.history.create_indexes([history_store.INDEX])
        await self.kept.prepare()

    # --- threads --------------------------------------------------------------------------------

    async def load(self, customer_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the threads, new ones for Customers without; of the absorbed that of their survivor.

        Customers with the same thread get the same object.
        """
        loaded = await self.own(customer_ids)
        found = dict(loaded)
        while absorbed := {each for item in found.values() if (each := item.thread.merged_into)}:
            found = await self.own(list(absorbed - loaded.keys()))
            loaded |= found
        return {customer: _survivor(loaded, customer) for customer in customer_ids}

    async def own(self, customer_ids: Sequence[str]) -> dict[str, Loaded]:
        """Return the Customers' own threads, though others go on in their place."""
        loaded = {customer: Loaded(Thread(customer_id=customer)) for customer in customer_ids}
        if not loaded:
            return {}
        async for document in self._threads.find({"_id": {"$in": list(customer_ids)}}):
            loaded[document["_id"]] = loaded_of(document)
        return loaded

    async def rows(self, row_ids: Sequence[str]) -> dict[str, Known]:
        """Return the timeline rows that exist."""
        if not row_ids:
            return {}
        found = self.timeline.find({"_id": {"$in": list(row_ids)}}, _KNOWN)
        return {row["_id"]: Known(row.get("status_seq", 0), line_of(row)) async for row in found}

    async def save(
        self, changed: Sequence[Loaded], next_due: Callable[[Thread], datetime | None]
    ) -> frozenset[str]:
        """Save each thread with its effects in one write; return the Customers lost to others."""
        now = self._clock()
        writes = [saved(item, next_due(item.thread), now, item.thread.version + 1) for item in changed]
        lost = await bulk(self._threads, writes)
        if lost:
            metrics.CONFLICTS.labels("threads").inc(len(lost))
        return frozenset(changed[index].thread.customer_id for index in lost)

    async def join(self, changed: Sequence[Loaded], next_due: Callable[[Thread], datetime | None]) -> bool:
        """Save several threads with their effects, all or nothing; False when another writer was faster.

        All get the highest version, so that of a Conversation that moves the latest state is known.
        """
        now = self._clock()
        version = max(item.thread.version for item in changed) + 1
        rows = [
            _operation(conversation_document(conversation, version))
            for item in changed
            for conversation in sorted(item.conversations.values(), key=_closed_first)
        ]
        saves = [saved(item, next_due(item.thread), now, version, beside=True) for item in changed]
        try:
            async with self._client.start_session() as session, await session.start_transaction():
                for save in saves:
                    await self._threads.bulk_write([save], session=session)
                for row in rows:
                    await self.conversations.bulk_write([row], session=session)
        except PyMongoError as error:
            if lost_race(error):
                metrics.CONFLICTS.labels("threads").inc()
                return False
            raise
        return True

    async def drain(self, items: Sequence[Loaded]) -> None:
        """Carry out what waits in these outboxes; read again only where there is more than ours."""
        waiting = {item.thread.customer_id: list(item.effects) for item in items if not item.pending}
        others = [item.thread.customer_id for item in items if item.pending]
        if others:
            async for document in self._threads.find({"_id": {"$in": others}}, {"outbox": 1}):
                waiting[document["_id"]] = [from_document(entry) for entry in document.get("outbox", ())]
        await self.outbox.drain(waiting)

    async def due(self, partitions: Mapping[int, datetime], limit: int) -> dict[str, datetime]:
        """Return Customers with a timer due in their partition by the given time, each with that time.

        Only who they are: `load` gives the threads, in batches of any size, and a server that looks at all
        that is due looks once. One query for all partitions of the same time: give them one where you can.
        """
        together: dict[datetime, list[int]] = {}
        for partition, by in partitions.items():
            together.setdefault(by, []).append(partition)
        due: dict[str, datetime] = {}
        for by, of_time in sorted(together.items()):
            found = self._threads.find(
                {"next_due": {"$lte": by}, "partition": {"$in": of_time}},
                {"_id": 1},
                sort=[("next_due", ASCENDING)],
                limit=limit - len(due),
            )
            due.update({document["_id"]: by async for document in found})
            if len(due) == limit:
                break
        return due

    async def left(self, partitions: Sequence[int], before: datetime, limit: int) -> list[Loaded]:
        """Return threads whose outbox holds effects from before `before`, oldest first."""
        found = self._threads.find(
            {"outbox.at": {"$lt": before}, "partition": {"$in": list(partitions)}},
            sort=[("outbox.at", ASCENDING)],
            limit=limit,
        )
        return [loaded_of(document) async for document in found]

    async def numbered(self, conversation_ids: Sequence[str]) -> dict[str, Numbered]:
        """Return what the tickets of these Conversations need; see handlers.ThreadStore."""
        numbers = await self.kept.numbers(conversation_ids)
        found = self.conversations.find({"_id": {"$in": list(conversation_ids)}})
        known = {document["_id"]: conversation_of(document) async for document in found}
        return {one: Numbered(number, known.get(one)) for one, number in numbers.items()}

    async def new_rules(self, aging: str, now: datetime) -> bool:
        """Remember the rules of age; return whether they are others than before, or have just changed."""
        before = await self._settled.find_one({"_id": "rules"})
        if before is None or before["aging"] != aging:
            await self._settled.replace_one({"_id": "rules"}, {"aging": aging, "at": now}, upsert=True)
            return before is not None or aging != NO_AGING
        return bool(now - before["at"] < _JUST)

    async def wake(self, at: datetime) -> None:
        """Let the clock look, from `at` on, at each thread whose Conversation is not closed."""
        customers: list[str] = []
        async for document in self.conversations.find({"open": True}, {"customer_id": 1}):
            customers.append(document["customer_id"])
            if len(customers) == _WOKEN_AT_ONCE:
                await self._wake(customers, at)
                customers = []
        await self._wake(customers, at)

    async def _wake(self, customers: Sequence[str], at: datetime) -> None:
        later = {"_id": {"$in": customers}, "next_due": {"$not": {"$lte": at}}}
        await self._threads.update_many(later, {"$set": {"next_due": at}})

    # --- conversations --------------------------------------------------------------------------

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """Return a Conversation by id."""
        document = await self.conversations.find_one({"_id": conversation_id, "erased": None})
        return conversation_of(document) if document else None

    async def homes(self, customer_id: str) -> tuple[str, ...]:
        """Return the Customers for whom this one's thread stands, the one whose thread it is first."""
        return (await self.load([customer_id]))[customer_id].thread.homes

    async def customers_of(self, homes: Collection[str]) -> dict[str, str]:
        """Return who stands for these Customers today."""
        loaded = await self.load(list(set(homes)))
        return {home: item.thread.customer_id for home, item in loaded.items()}

    async def with_customers(self, conversations: Sequence[Conversation]) -> list[Conversation]:
        """Return Conversations as those of whoever stands for their Customer today."""
        threads = await self.load(list({each.home for each in conversations}))
        return [replace(each, customer_id=threads[each.home].thread.customer_id) for each in conversations]

    async def message_with(self, attachment_id: str) -> Document | None:
        """Return the timeline item that shows this attachment."""
        fields = dict.fromkeys(("conversation_id", "home", "channel", "account", "address"), 1)
        return await self.timeline.find_one({"attachments.id": attachment_id}, fields)

    async def has_conversation(self, homes: Sequence[str], inboxes: Sequence[str] | None) -> bool:
        """Return whether the Customer has or had a Conversation, in one of `inboxes` if these are given.

        The newest one mostly tells, whatever else there was.
        """
        thread = await self._threads.find_one({"_id": homes[0]}, {"state.current.inbox": 1})
        newest = ((thread or {}).get("state") or {}).get("current")
        if newest is not None and (inboxes is None or newest["inbox"] in inboxes):
            return True
        query: Document = {"home": any_of(homes), "erased": None}
        if inboxes is not None:
            query["inbox"] = {"$in": list(inboxes)}
        return await self.conversations.find_one(query, {"_id": 1}) is not None

    async def latest(self, customer_id: str) -> datetime | None:
        """Return about when something last happened in the thread; None where nothing did."""
        fields = {"state.current.updated_at": 1, "state.last_at": 1}
        found = await self._threads.find_one({"_id": customer_id}, fields)
        state = found["state"] if found else {}
        moments = [(state.get("current") or {}).get("updated_at"), state.get("last_at")]
        return max((datetime.fromisoformat(each) for each in moments if each), default=None)

    async def inboxes_of(self, conversation_ids: Sequence[str]) -> dict[str, str]:
        """Return in which Inbox each of these Conversations is."""
        found = self.conversations.find({"_id": {"$in": list(conversation_ids)}}, {"inbox": 1})
        return {document["_id"]: document["inbox"] async for document in found}

    async def survivors(self, homes: Sequence[str]) -> dict[str, str]:
        """Return who stands for each of these homes."""
        return {home: item.thread.customer_id for home, item in (await self.load(homes)).items()}

    async def current(self) -> dict[Status, int]:
        """Return how many Conversations are in each status but `closed`, counted in the index of it."""
        current = [status for status in Status if status is not Status.CLOSED]
        return {status: await self.conversations.count_documents({"status": status}) for status in current}

    # --- what other services told ---------------------------------------------------------------

    async def knows(self, homes: Sequence[str]) -> bool:
        """Return whether identity has told of the Customer, or they have written."""
        of_them = any_of(homes)
        known = [row async for row in self._customers.find({"_id": of_them}, {"erased": 1})]
        if known:
            return not any(row.get("erased") for row in known)
        return await self.timeline.find_one({"home": of_them}, {"_id": 1}) is not None

    async def learn_customers(self, customer_ids: Sequence[str]) -> None:
        """Remember that these Customers exist."""
        await bulk(self._customers, [InsertOne({"_id": one, "known": True}) for one in customer_ids])

    async def agent_inboxes(self, agent: str) -> list[str]:
        """Return the Inboxes of an Agent, none for a stranger."""
        found = await self._agents.find_one({"_id": agent})
        return list(found["inboxes"]) if found else []

    async def agents_called(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return the Inboxes of the Agents with these ids, in whatever case these are written."""
        if not names:
            return {}
        spelled = [*names, *(name.lower() for name in names)]  # of Agents learnt before `folded` was
        folded = [name.casefold() for name in names]
        query = {"$or": [{"_id": {"$in": spelled}}, {"folded": {"$in": folded}}]}
        return {found["_id"]: found["inboxes"] async for found in self._agents.find(query)}

    async def learn_agents(self, agents: Mapping[str, tuple[int, Sequence[str]]]) -> None:
        """Remember the Inboxes of each Agent, given with the `seq` of the news; older news do nothing."""
        await bulk(
            self._agents,
            [
                ReplaceOne(
                    {"_id": agent, "seq": {"$lt": seq}},
                    {"_id": agent, "seq": seq, "inboxes": list(inboxes), "folded": agent.casefold()},
                    upsert=True,
                )
                for agent, (seq, inboxes) in agents.items()
            ],
        )


def any_of(homes: Sequence[str]) -> object:
    """Return the condition on a field that it is one of these; of one an equality, which is cheaper."""
    return homes[0] if len(homes) == 1 else {"$in": list(homes)}


def _survivor(loaded: Mapping[str, Loaded], customer_id: str) -> Loaded:
    item = loaded[customer_id]
    while item.thread.merged_into is not None:
        item = loaded[item.thread.merged_into]
    return item


def _closed_first(conversation: Conversation) -> bool:
    return conversation.status is not Status.CLOSED


def _operation(document: Document) -> ReplaceOne[Document]:
    return ReplaceOne({"_id": document["_id"]}, document, upsert=True)
