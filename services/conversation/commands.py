"""What Agents and leads ask for, checked against the status table and carried out."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from schemas import ids
from schemas.common import Channel
from schemas.conversations import Status
from services.chassis.auth import Principal, Role
from services.chassis.inboxes import Inbox
from services.chassis.problems import Problem, conflict, invalid, not_found, unavailable
from services.conversation import metrics
from services.conversation.domain import lifecycle, replies, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Conversation, Route, Thread
from services.conversation.domain.table import ALLOWED, Action
from services.conversation.handlers import Threads
from services.conversation.permission import Reply, words_of
from services.conversation.wording import Wordings


class Commands:
    """Each method checks who, checks the status, and changes one thread."""

    def __init__(self, threads: Threads, decision_wait_seconds: float, wordings: Wordings) -> None:
        self._threads = threads
        self._wait = decision_wait_seconds
        self._wordings = wordings

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

        def apply(draft: Draft) -> None:
            _may_reply(draft.conversation, caller)
            self._reply(draft, caller, message_id, reply)

        await self.change(conversation, command, Action.REPLY, apply)
        return message_id

    async def message(
        self, customer_id: str, caller: Principal, command: UUID, reply: Reply, seen: Sequence[Inbox]
    ) -> UUID:
        """Write to a Customer, in their open Conversation or a new one; returns the message's id.

        `seen` are the Inboxes the caller sees; a new Conversation sits where the last one did, or in
        the first of them.
        """
        metrics.COMMANDS.labels("message").inc()
        message_id = ids.derive("reply", command)
        own = {inbox.name: inbox for inbox in seen}

        def decide(draft: Draft) -> None:
            current = draft.thread.current
            if current is not None and current.status is not Status.CLOSED:
                if current.inbox not in own:
                    raise not_found(f"the Customer {customer_id}")
                _may_reply(current, caller)
            else:
                if not own:
                    raise Problem(403, "Forbidden", "you are in no Inbox that a Conversation could begin in")
                channel, route = _route(draft.thread, reply.channel)
                inbox = own.get(current.inbox if current else "") or next(iter(own.values()))
                lifecycle.start_by_agent(draft, inbox, channel, route, caller.subject)
            self._reply(draft, caller, message_id, reply)

        await self._threads.command(customer_id, command, decide)
        return message_id

    def _reply(self, draft: Draft, caller: Principal, message_id: UUID, reply: Reply) -> None:
        channel, route = _route(draft.thread, reply.channel)
        templates = self._wordings.of(route.provider, route.account).templates
        words = words_of(reply, draft.thread, channel, route, templates, draft.now)
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

    async def note(self, conversation: Conversation, caller: Principal, command: UUID, text: str) -> UUID:
        """Write an internal note; returns its id. Closed Conversations take notes too."""
        note_id = ids.derive("note", command)
        metrics.COMMANDS.labels("note").inc()

        def decide(draft: Draft) -> None:
            replies.note(draft, note_id=note_id, author=caller.subject, text=text, about=conversation)

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
        pause = 0.005
        try:
            async with asyncio.timeout(self._wait):
                while True:
                    loaded = await self._threads.store.load([conversation.customer_id])
                    current = _of(loaded[conversation.customer_id].thread, conversation)
                    if current is conversation:
                        raise conflict("the Conversation was closed, or merged into another")
                    wish = routing.outcome(current, command)
                    if wish is None:
                        raise conflict(
                            f"the Conversation is {current.status}; other assignments came between"
                        )
                    if wish.granted:
                        return current
                    if wish.granted is False:
                        raise conflict(wish.detail, kind="assignment-refused", state=current.status)
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, 0.1)
        except TimeoutError as error:
            raise unavailable("the router's decision") from error

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


def _route(thread: Thread, wanted: Channel | None) -> tuple[Channel, Route]:
    if wanted is Channel.VOICE:
        raise invalid("channel", "a call takes no text; name another channel, or none")
    if wanted is not None:
        if wanted not in thread.routes:
            known = ", ".join(sorted(thread.routes)) or "none"
            raise invalid("channel", f"the Customer has not written on {wanted}; known are: {known}")
        return wanted, thread.routes[wanted]
    if not thread.routes:
        raise conflict("the Customer has no address that a message could go to")
    channel = max(thread.routes, key=lambda name: (thread.routes[name].at, name))
    return channel, thread.routes[channel]
