"""What Agents and leads ask for, checked against the status table and carried out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from schemas import ids
from schemas.common import Channel
from schemas.conversations import Status
from services.chassis.auth import Principal, Role
from services.chassis.inboxes import Inbox
from services.chassis.problems import Problem, conflict, not_found
from services.chassis.templates import Template
from services.conversation import metrics
from services.conversation.addresses import Addresses
from services.conversation.deciding import granted
from services.conversation.domain import lifecycle, replies, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation, Route, Thread
from services.conversation.domain.reach import Reach
from services.conversation.domain.routed import Assignment
from services.conversation.domain.table import ALLOWED, Action
from services.conversation.handlers import Threads
from services.conversation.permission import Reply, words_of
from services.conversation.ways import way, with_subject
from services.conversation.wording import Wordings

_NEW_CUSTOMER_SECONDS = 2.0


class Commands:
    """Each method checks who, checks the status, and changes one thread."""

    def __init__(
        self, threads: Threads, decision_wait_seconds: float, wordings: Wordings, addresses: Addresses
    ) -> None:
        self._threads = threads
        self._wait = decision_wait_seconds
        self._wordings = wordings
        self._addresses = addresses

    async def change(
        self, conversation: Conversation, command: UUID, action: Action, apply: Callable[[Draft], None]
    ) -> Conversation:
        """Apply `apply` if `action` is allowed in the Conversation's present status."""
        metrics.COMMANDS.labels(action.name.lower()).inc()

        def decide(draft: Draft) -> None:
            _make_current(draft, conversation, action)
            _allow(draft.conversation, action)
            apply(draft)

        thread = await self._threads.command(conversation.customer_id, command, decide)
        return _of(thread, conversation)

    async def close(
        self, conversation: Conversation, command: UUID, *, confirmed: bool | None
    ) -> Conversation:
        """Close it; one that is closed stays as it is."""
        if conversation.status is Status.CLOSED:
            return conversation
        return await self.change(
            conversation, command, Action.CLOSE, lambda draft: lifecycle.close(draft, confirmed=confirmed)
        )

    # --- words ----------------------------------------------------------------------------------

    async def reply(self, conversation: Conversation, caller: Principal, command: UUID, reply: Reply) -> UUID:
        """Send a reply; returns the message's id."""
        message_id = ids.derive("reply", command)
        reach = await self._reach(conversation.customer_id)

        def apply(draft: Draft) -> None:
            _may_reply(draft.conversation, caller)
            taken = way(draft, reply, reach, [draft.conversation.inbox], self._templates)
            self._reply(draft, caller, message_id, reply, taken)

        await self.change(conversation, command, Action.REPLY, apply)
        return message_id

    async def message(
        self, customer_id: str, caller: Principal, command: UUID, reply: Reply, seen: Sequence[Inbox]
    ) -> UUID:
        """Write to a Customer, in their open Conversation or a new one; returns the message's id.

        `seen` are the Inboxes the caller sees; a new Conversation sits where the last one did, else in that
        of the account that writes, else in the first of them.
        """
        metrics.COMMANDS.labels("message").inc()
        message_id = ids.derive("reply", command)
        own = {inbox.name: inbox for inbox in seen}
        reach = await self._reach(customer_id)

        def decide(draft: Draft) -> None:
            current = draft.thread.current
            running = current is not None and current.status is not Status.CLOSED
            if current is not None and running:
                if current.inbox not in own:
                    raise not_found(f"the Customer {customer_id}")
                _may_reply(current, caller)
            elif not own:
                raise Problem(403, "Forbidden", "you are in no Inbox that a Conversation could begin in")
            before = [current.inbox] if current else []
            taken = way(draft, reply, reach, [*before, *own], self._templates)
            if not running:
                inbox = _inbox_for(own, current, reach, taken[1])
                lifecycle.start_by_agent(draft, inbox, *taken, caller.subject)
            self._reply(draft, caller, message_id, reply, taken)

        await self._threads.command(customer_id, command, decide)
        return message_id

    async def wait_for(self, customer_id: str) -> None:
        """Wait a moment for a Customer of whom nothing is known yet: identity may just have made them."""
        await self._addresses.wait_for(customer_id, _NEW_CUSTOMER_SECONDS)

    async def _reach(self, customer_id: str) -> Reach:
        thread = (await self._threads.store.load([customer_id]))[customer_id].thread
        return Reach(await self._addresses.of(thread.homes), self._wordings.accounts())

    def _templates(self, provider: str, account: str) -> Sequence[Template]:
        return self._wordings.of(provider, account).templates

    def _reply(
        self,
        draft: Draft,
        caller: Principal,
        message_id: UUID,
        reply: Reply,
        taken: tuple[Channel, Route],
    ) -> None:
        channel, route = taken
        templates = self._templates(route.provider, route.account)
        words = words_of(reply, draft.thread, channel, route, templates, draft.now)
        route = with_subject(channel, route, reply.subject, words.text)
        replies.reply(
            draft,
            message_id=message_id,
            agent=caller.subject,
            channel=channel,
            route=route,
            text=words.text,
            attachments=words.attachments,
            template=words.template,
            human_agent=words.human_agent,
        )

    async def note(
        self,
        conversation: Conversation,
        caller: Principal,
        command: UUID,
        text: str,
        mentions: tuple[str, ...] = (),
    ) -> UUID:
        """Write an internal note; returns its id. Closed Conversations take notes too."""
        note_id = ids.derive("note", command)
        metrics.COMMANDS.labels("note").inc()

        def decide(draft: Draft) -> None:
            replies.note(
                draft,
                note_id=note_id,
                author=caller.subject,
                text=text,
                about=conversation,
                mentions=mentions,
            )

        await self._threads.command(conversation.customer_id, command, decide)
        return note_id

    # --- routing --------------------------------------------------------------------------------

    async def take(self, conversation: Conversation, caller: Principal, command: UUID) -> Conversation:
        """Take it: open with the caller, or a Problem 409 that says why not."""
        return await self._assign(conversation, command, Action.TAKE, caller.subject, force=False)

    async def transfer_to_agent(
        self, conversation: Conversation, command: UUID, agent: str, *, force: bool
    ) -> Conversation:
        """Give it to another Agent; the present one keeps it until the router has granted it."""
        return await self._assign(conversation, command, Action.TRANSFER, agent, force=force)

    async def _assign(
        self, conversation: Conversation, command: UUID, action: Action, agent: str, *, force: bool
    ) -> Conversation:
        def apply(draft: Draft) -> None:
            if draft.conversation.status is Status.OPEN and draft.conversation.agent == agent:
                return
            routing.assign(draft, agent, "take" if action is Action.TAKE else "transfer", force=force)

        changed = await self.change(conversation, command, action, apply)
        if changed.status is Status.OPEN and changed.agent == agent:
            return changed
        return await self._decided(changed, command)

    async def _decided(self, conversation: Conversation, command: UUID) -> Conversation:
        """Wait for the router's word on the assignment that `command` asked for."""

        def wish_of(thread: Thread) -> Assignment:
            current = _of(thread, conversation)
            if current is conversation:
                raise conflict("the Conversation was closed, or merged into another")
            wish = routing.outcome(current, command)
            if wish is None:
                raise conflict(f"the Conversation is {current.status}; other assignments came between")
            if wish.granted is False:
                raise conflict(wish.detail, kind="assignment-refused", state=current.status)
            return wish

        return _of(await granted(self._threads, conversation.customer_id, wish_of, self._wait), conversation)

    async def transfer_to_inbox(
        self, conversation: Conversation, caller: Principal, command: UUID, inbox: Inbox
    ) -> Conversation:
        """Move it to another Inbox, where it is routed."""
        return await self.change(
            conversation,
            command,
            Action.TRANSFER,
            lambda draft: lifecycle.transfer_to_inbox(draft, inbox, by=caller.subject),
        )

    async def end_contact(self, conversation: Conversation, command: UUID, contact_id: str) -> Conversation:
        """End one Contact."""

        def apply(draft: Draft) -> None:
            if all(contact.id != contact_id for contact in draft.conversation.contacts):
                raise not_found(f"the Contact {contact_id}")
            lifecycle.end_contact(draft, contact_id)

        return await self.change(conversation, command, Action.END_CONTACT, apply)


def _of(thread: Thread, conversation: Conversation) -> Conversation:
    current = thread.current
    return current if current is not None and current.id == conversation.id else conversation


def _make_current(draft: Draft, conversation: Conversation, action: Action) -> None:
    """Let the command find its Conversation: only a reopen may bring an old one back."""
    current = draft.thread.current
    if current is not None and current.id == conversation.id:
        return
    if action is Action.REOPEN:
        if current is not None and current.status is not Status.CLOSED:
            raise conflict(
                f"the Customer's newer Conversation {current.id} is {current.status}",
                state=current.status,
            )
        draft.put(replace(conversation, customer_id=draft.thread.customer_id))
        return
    raise _refusal(action, conversation)


def _allow(conversation: Conversation, action: Action) -> None:
    if conversation.status not in ALLOWED[action]:
        raise _refusal(action, conversation)


def _refusal(action: Action, conversation: Conversation) -> Problem:
    return conflict(
        f"you cannot {action} a Conversation that is {conversation.status}", state=conversation.status
    )


def _may_reply(conversation: Conversation, caller: Principal) -> None:
    """An Agent answers their own Conversations, and those without one; leads answer all."""
    other = conversation.agent not in (None, caller.subject)
    if conversation.status is Status.OPEN and other and not caller.may(Role.LEAD):
        raise Problem(403, "Forbidden", f"the Conversation is with {conversation.agent}; take it first")


def _inbox_for(own: Mapping[str, Inbox], current: Conversation | None, reach: Reach, route: Route) -> Inbox:
    before = own.get(current.inbox) if current else None
    name = next((ours.inbox for ours in reach.accounts if ours.is_at(route)), "")
    return before or own.get(name) or next(iter(own.values()))
