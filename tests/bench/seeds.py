"""Many Customers in little time: what the system wrote for one is written again for others.

So the documents are the system's own, whatever it comes to write; only names and ids differ.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from pymongo import MongoClient

from tests.bench.traffic import phone

Document = dict[str, Any]
_BLOCK = 1000
_OF_ALL = frozenset({"journal", "snapshots", "pools", "agents", "idempotency", "handling"})
"""Collections that say nothing of a single Customer."""


def settled(client: "MongoClient[Document]", prefix: str) -> bool:
    """Return whether no effect waits: a copy of one would be carried out for each Customer."""
    places = (("identity", "customers"), ("conversation", "threads"))
    found = [
        client[f"{prefix}_{service}"][name].find_one({"outbox.at": {"$exists": True}})
        for service, name in places
    ]
    return not any(found)


class Seeds:
    """Copies of what the databases of the services hold of one Customer."""

    def __init__(self, client: "MongoClient[Document]", prefix: str, customer: int) -> None:
        self._client, self._prefix, self._model = client, prefix, customer
        self._found = self._collect()

    def _collect(self) -> dict[tuple[str, str], list[Document]]:
        """Return the documents by database and collection; there must be no other Customer.

        Raises ValueError while effects wait.
        """
        if not settled(self._client, self._prefix):
            raise ValueError(f"effects wait in {self._prefix}")
        found = {}
        for service in ("identity", "conversation", "router"):
            database = self._client[f"{self._prefix}_{service}"]
            for name in database.list_collection_names():
                if name not in _OF_ALL and (documents := list(database[name].find({}))):
                    found[database.name, name] = documents
        return found

    def _names(self) -> dict[str, str]:
        """Return the ids in the documents that each copy needs its own of, as a template."""
        customer = self._found[f"{self._prefix}_identity", "customers"][0]["_id"]
        conversation = self._found[f"{self._prefix}_conversation", "conversations"][0]["_id"]
        return {customer: "customer", conversation: "conversation", phone(self._model): "phone"}

    def write(self, customers: Iterable[int]) -> None:
        """Write all there is of the model for each of `customers`."""
        names = self._names()
        rows: dict[tuple[str, str], list[Document]] = {place: [] for place in self._found}
        for number, customer in enumerate(customers, start=1):
            own = {"customer": uuid4().hex, "conversation": str(uuid4()), "phone": phone(customer)}
            to = {old: own[what] for old, what in names.items()}
            for place, documents in self._found.items():
                rows[place] += [_with_own_id(_renamed(document, to), to) for document in documents]
            if number % _BLOCK == 0:
                self._insert(rows)
        self._insert(rows)

    def lengthen(self, customer: int, items: int) -> None:
        """Give the Customer's timeline so many items more, each like the model's message."""
        identifiers = self._client[f"{self._prefix}_identity"]["identifiers"]
        owner = identifiers.find_one({"_id": f"phone:{phone(customer)}"})
        timeline = self._client[f"{self._prefix}_conversation"]["timeline"]
        model = timeline.find_one({"home": owner["customer_id"] if owner else None, "kind": "message"})
        if model is None:
            raise LookupError(f"Customer {customer} has no message yet")
        for start in range(0, items, _BLOCK):
            block = min(_BLOCK, items - start)
            timeline.insert_many([{**model, "_id": str(uuid4())} for _ in range(block)], ordered=False)

    def _insert(self, rows: dict[tuple[str, str], list[Document]]) -> None:
        for (database, name), documents in rows.items():
            if documents:
                self._client[database][name].insert_many(documents, ordered=False)
                documents.clear()


def _renamed(value: Any, to: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in to.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {_renamed(name, to): _renamed(each, to) for name, each in value.items()}
    return [_renamed(each, to) for each in value] if isinstance(value, list) else value


def _with_own_id(document: Document, to: Mapping[str, str]) -> Document:
    """Give a document whose id names nobody one of its own."""
    if any(new in str(document["_id"]) for new in to.values()):
        return document
    return {**document, "_id": str(uuid4())}
