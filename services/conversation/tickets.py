"""What Agents do with tickets, and the routes for it."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from schemas.envelope import rfc3339
from schemas.tickets import TicketLink, TicketReason, TicketStatus
from services.chassis.auth import Agent, Principal
from services.chassis.idempotency import Answer
from services.chassis.idempotency import Commands as Once
from services.chassis.pages import Limit, page
from services.chassis.problems import Problem, conflict, not_found
from services.conversation import metrics
from services.conversation.access import Access
from services.conversation.domain import tickets
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation
from services.conversation.domain.ticket import MOST_TICKETS, Ticket
from services.conversation.domain.tickets import Numbered
from services.conversation.handlers import Threads
from services.conversation.kept import ticket_of
from services.conversation.store import Store, any_of
from services.conversation.ticket_inputs import TicketInput, TicketPatch
from services.conversation.views import conversation_view


class Tickets:
    """Makes and changes tickets; who sees a Conversation sees its ticket."""

    def __init__(self, store: Store, threads: Threads, access: Access) -> None:
        self._store, self._threads = store, threads
        self.access = access
        self.kept = store.kept

    async def create(
        self, conversation: Conversation, caller: Principal, command: UUID, reason: TicketReason
    ) -> tuple[Ticket, bool]:
        """Return the Conversation's ticket, and whether this command made it. Closed ones may have one.

        Raises Problem 409 when the Customer has too many that are not resolved.
        """
        metrics.COMMANDS.labels("ticket").inc()
        known: dict[str, Numbered] = {}

        async def look() -> None:
            known.update(await self._store.numbered([conversation.id]))

        def decide(draft: Draft) -> None:
            numbered = known[conversation.id]
            about = tickets.subject(draft, conversation.id, numbered.about)
            if about is not None and about.ticket is None:
                _check_room(draft)
            inboxes = self._threads.inboxes
            tickets.create(draft, numbered, conversation.id, reason, caller.subject, inboxes)

        await self._threads.command(conversation.customer_id, command, decide, look=look)
        after = await self._store.conversation(conversation.id)
        ticket = await self.kept.ticket(after.ticket) if after is not None and after.ticket else None
        if ticket is None:
            raise not_found(f"the Conversation {conversation.id}")
        return ticket, ticket.cause == command

    async def change(self, number: str, caller: Principal, command: UUID, asked: TicketPatch) -> Ticket:
        """Change a ticket the caller may see; a resolved one may be opened again."""
        ticket, conversation = await self.seen(caller, number)
        metrics.COMMANDS.labels("ticket_change").inc()
        shown = {"ticket": ticket, "about": conversation}

        async def look() -> None:
            shown["ticket"] = await self.kept.ticket(number) or ticket
            shown["about"] = await self._store.conversation(conversation.id) or conversation

        def decide(draft: Draft) -> None:
            held = tickets.held(draft, number)
            current: Any = held or shown["ticket"]
            about: Any = tickets.subject(draft, conversation.id, None) or shown["about"]
            fields = _fields(asked)
            if held is None and fields.get("status", current.status) is not TicketStatus.RESOLVED:
                _check_room(draft)
            tickets.change(draft, current, about, caller.subject, **fields)

        await self._threads.command(conversation.customer_id, command, decide, look=look)
        return await self.kept.ticket(number) or ticket

    async def seen(self, caller: Principal, number: str) -> tuple[Ticket, Conversation]:
        """Return a ticket the caller may see, and its Conversation. Raises Problem 404."""
        ticket = await self.kept.ticket(number)
        if ticket is None:
            raise not_found(f"the ticket {number}")
        try:
            found = await self.access.seen(caller, ticket.conversation_id)
            while found.merged_into is not None:
                found = await self.access.seen(caller, found.merged_into)
        except Problem as hidden:
            raise not_found(f"the ticket {number}") from hidden
        return ticket, (await self._store.with_customers([found]))[0]

    async def listed(self, query: dict[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
        """Return a page of tickets, the newest first."""
        place = ("created_at", "_id")
        found = await page(
            self.kept.tickets, {**query, "erased": None}, place, limit, cursor, lambda row: row
        )
        customers = await self._store.customers_of([row["home"] for row in found["items"]])
        items = [ticket_view(ticket_of(row), row["inbox"], customers[row["home"]]) for row in found["items"]]
        return {**found, "items": items}

    async def homes(self, customer_id: str) -> object:
        """Return the condition that something is of this Customer."""
        return any_of(await self._store.homes(customer_id))


def _check_room(draft: Draft) -> None:
    if tickets.full(draft):
        raise conflict(
            f"the Customer has {MOST_TICKETS} tickets that are not resolved; resolve one first", state="full"
        )


def _fields(asked: TicketPatch) -> dict[str, Any]:
    given = {name: getattr(asked, name) for name in asked.model_fields_set}
    if asked.links is not None:
        given["links"] = tuple(TicketLink(**link.model_dump()) for link in asked.links)
    return given


def routes(parts: Tickets, once: Once) -> APIRouter:
    """Return the routes of tickets."""
    router = APIRouter()

    @router.post("/v1/conversations/{conversation_id}/tickets", status_code=201)
    async def create(request: Request, caller: Agent, conversation_id: str, body: TicketInput) -> Response:
        """Make the ticket of a Conversation, closed ones too: 201, and 200 with the first one's number."""

        async def run(command: UUID) -> Answer:
            found = await parts.access.conversation(caller, conversation_id)
            ticket, new = await parts.create(found, caller, command, body.reason)
            return Answer(201 if new else 200, ticket_view(ticket, found.inbox, found.customer_id))

        return await once.once(request, caller.subject, body.model_dump(mode="json"), run)

    @router.get("/v1/tickets")
    async def listed(
        caller: Agent,
        status: TicketStatus | None = None,
        assignee: str | None = None,
        customer: str | None = None,
        reason: TicketReason | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        home = await parts.homes(customer) if customer is not None else None
        asked = {"status": status, "assignee": assignee, "home": home, "reason": reason}
        query: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        own = await parts.access.inboxes(caller)
        if own is not None:
            query["inbox"] = {"$in": own}
        return await parts.listed(query, limit, cursor)

    @router.get("/v1/tickets/{number}")
    async def ticket(caller: Agent, number: str) -> dict[str, Any]:
        """Show a ticket with its whole Conversation; what was said in it is at `timeline`."""
        return _whole(*await parts.seen(caller, number))

    @router.patch("/v1/tickets/{number}")
    async def change(request: Request, caller: Agent, number: str, body: TicketPatch) -> Response:
        async def run(command: UUID) -> Answer:
            await parts.change(number, caller, command, body)
            return Answer(200, _whole(*await parts.seen(caller, number)))

        asked = body.model_dump(mode="json", exclude_unset=True)
        return await once.once(request, caller.subject, asked, run)

    return router


def ticket_view(ticket: Ticket, inbox: str, customer_id: str) -> dict[str, Any]:
    """Return a ticket as the API shows it."""
    state = ticket.state.model_dump(mode="json")
    return {
        "number": ticket.number,
        "reason": ticket.reason,
        **state,
        "customer_id": customer_id,
        "conversation_id": ticket.conversation_id,
        "inbox": inbox,
        "notice": {"message_id": str(ticket.notice) if ticket.notice else None, "not_sent": ticket.not_told},
        "created_by": ticket.created_by,
        "created_at": rfc3339(ticket.created_at),
        "updated_at": rfc3339(ticket.updated_at),
        "resolved_at": rfc3339(ticket.resolved_at) if ticket.resolved_at else None,
    }


def _whole(ticket: Ticket, conversation: Conversation) -> dict[str, Any]:
    timeline = f"/conversation/v1/customers/{conversation.customer_id}/timeline"
    return {
        **ticket_view(ticket, conversation.inbox, conversation.customer_id),
        "conversation": conversation_view(conversation),
        "timeline": f"{timeline}?conversation={conversation.id}",
    }
