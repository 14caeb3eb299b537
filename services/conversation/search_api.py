"""`GET /v1/search`: items of timelines by their words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pymongo.errors import ExecutionTimeout

from schemas.common import Channel
from services.chassis.audit import about
from services.chassis.auth import Agent, Principal
from services.chassis.mongo import Document
from services.chassis.pages import Limit, make_cursor, read_cursor
from services.chassis.problems import Problem, invalid
from services.conversation import search_store
from services.conversation.access import Access
from services.conversation.domain.words import asked
from services.conversation.files import Files
from services.conversation.store import Store
from services.conversation.times import moment_of
from services.conversation.views import timeline_view

LONGEST_QUERY = 500
MOST_ASKED = 20
"""Words of a query."""


def routes(store: Store, access: Access, files: Files) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.get("/v1/search")
    async def search(
        caller: Agent,
        q: str,
        customer: str | None = None,
        channel: Channel | None = None,
        since: Annotated[str | None, Query(alias="from")] = None,
        before: Annotated[str | None, Query(alias="to")] = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        query = search_store.Query(
            _words(q),
            channel=channel,
            since=moment_of("from", since) if since is not None else None,
            before=moment_of("to", before) if before is not None else None,
            homes=await _homes(access, caller, customer),
        )
        place = _place(cursor) if cursor is not None else None
        sight = Sight(store, access, caller, all_of_customer=customer is not None)
        try:
            page = await _page(store, sight, query, place, limit)
        except ExecutionTimeout as error:
            raise Problem(422, "Unprocessable Content", "too much is found; ask for a longer word") from error
        return await files.described(page)

    return router


class Sight:
    """What the caller may see of what is found.

    An item of a Conversation: as the Conversation itself, by its present Inbox. An item of none, and all
    items where the search is within one Customer: as that Customer's timeline.
    """

    def __init__(self, store: Store, access: Access, caller: Principal, *, all_of_customer: bool) -> None:
        self._store, self._access, self._caller = store, access, caller
        self._all = all_of_customer
        self._customers: dict[str, bool] = {}

    async def of(self, rows: Sequence[Document]) -> list[Document]:
        """Return those of `rows` that may be seen."""
        own = None if self._all else await self._access.inboxes(self._caller)
        if own is None or not rows:
            return list(rows)
        named = sorted({row["conversation_id"] for row in rows if row["conversation_id"] is not None})
        inboxes = await self._store.inboxes_of(named)
        return [
            row
            for row in rows
            if (
                inboxes.get(row["conversation_id"]) in own
                if row["conversation_id"] is not None
                else await self._customer(row["home"])
            )
        ]

    async def _customer(self, customer_id: str) -> bool:
        if customer_id not in self._customers:
            try:
                await self._access.homes(self._caller, customer_id)
            except Problem:
                self._customers[customer_id] = False
            else:
                self._customers[customer_id] = True
        return self._customers[customer_id]


async def _page(
    store: Store, sight: Sight, query: search_store.Query, place: search_store.Place | None, limit: int
) -> dict[str, Any]:
    hits: list[Document] = []
    read, ended = 0, None
    async for batch in search_store.batches(store.timeline, query, place):
        hits += await sight.of([row for row in batch if "home" in row])
        read += len(batch)
        ended = batch[-1]
        if len(hits) > limit or read >= search_store.MOST_READ:
            break
    else:
        ended = None
    shown = hits[:limit]
    last = shown[-1] if len(hits) > limit else ended
    survivors = await store.survivors(sorted({row["home"] for row in shown}))
    for customer in survivors.values():
        about(customer)
    return {
        "items": [_hit(row, survivors) for row in shown],
        "next_cursor": make_cursor([last["at"], last["_id"]]) if last is not None else None,
    }


def _hit(row: Document, survivors: Mapping[str, str]) -> dict[str, Any]:
    return {**timeline_view(row), "customer_id": survivors.get(row["home"], row["home"])}


async def _homes(access: Access, caller: Principal, customer: str | None) -> Sequence[str] | None:
    if customer is None:
        return None
    return await access.homes(caller, customer)


def _words(q: str) -> tuple[str, ...]:
    if len(q) > LONGEST_QUERY:
        raise invalid("q", f"has {len(q)} characters; at most {LONGEST_QUERY} are taken")
    words = asked(q)
    if not words:
        raise invalid("q", "has no word to search for")
    if len(words) > MOST_ASKED:
        raise invalid("q", f"has {len(words)} words; at most {MOST_ASKED} are taken")
    return words


def _place(cursor: str) -> search_store.Place:
    match read_cursor(cursor, 2):
        case [datetime() as at, str() as item]:
            return at, item
        case _:
            raise invalid("cursor", "is not one of ours; use a `next_cursor` as it was given")
