"""Which way a message of ours takes: the Customer's own last one, or a first one to who never wrote."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from schemas.common import Channel
from services.chassis.problems import Problem, conflict, invalid
from services.chassis.templates import Template
from services.chassis.text import line
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Route, Thread
from services.conversation.domain.reach import ORDER, Reach
from services.conversation.permission import Reply

_SUBJECT_CHARACTERS = 70
Templates = Callable[[str, str], Sequence[Template]]
"""Those of an account, by provider and name."""


def way(
    draft: Draft, reply: Reply, reach: Reach, inboxes: Sequence[str], templates: Templates
) -> tuple[Channel, Route]:
    """Return channel and route of a message; an account of one of `inboxes`, the first before, is preferred.

    Raises Problem 422 for a channel on which the Customer has no address, or would have to write first; 409
    where we have no account, and without a channel where there is no way at all.
    """
    thread, wanted = draft.thread, reply.channel
    if wanted is Channel.VOICE:
        raise invalid("channel", "a call takes no text; name another channel, or none")
    if wanted is not None and wanted in thread.routes:
        return wanted, thread.routes[wanted]
    if wanted is None and thread.routes:
        channel = max(thread.routes, key=lambda name: (thread.routes[name].at, name))
        return channel, thread.routes[channel]
    for channel in _candidates(reply, reach, inboxes, templates):
        route = reach.route(channel, inboxes, draft.now, draft.correlation)
        if route is not None:
            return channel, route
    raise _no_way(thread, wanted, reach)


def _candidates(
    reply: Reply, reach: Reach, inboxes: Sequence[str], templates: Templates
) -> Sequence[Channel]:
    """Return the channels to try: for a template those before whose account has it."""
    if reply.channel is not None:
        return (reply.channel,)
    asked = reply.template
    if asked is None:
        return ORDER

    def lacks(channel: Channel) -> bool:
        account = reach.account(channel, inboxes)
        known = templates(account.provider, account.account) if account else ()
        return all(template.name != asked.name for template in known)

    return sorted(ORDER, key=lacks)


def _no_way(thread: Thread, wanted: Channel | None, reach: Reach) -> Problem:
    if wanted is None:
        return conflict("the Customer has no address that a message could go to")
    if reach.address(wanted) is not None:
        return conflict(f"we have no account on {wanted} to write from", kind="no-account")
    known = ", ".join(sorted({*thread.routes, *reach.channels()})) or "none"
    if wanted in (Channel.SMS, Channel.EMAIL, Channel.WHATSAPP):
        what = f"the Customer has no address on {wanted}; known are: {known}"
    else:
        what = f"the Customer has not written on {wanted}, and must do so first; known are: {known}"
    return invalid("channel", what)


def with_subject(channel: Channel, route: Route, subject: str | None, text: str) -> Route:
    """Return the route with the subject of a mail: the one given, that of the mail answered, or first words.

    Raises Problem 422 for a subject of anything but a mail.
    """
    if channel is not Channel.EMAIL:
        if subject is not None:
            raise invalid("subject", f"a message on {channel} has none")
        return route
    if subject is None and route.provider_message_id is not None:
        return route
    first = next((each for each in text.splitlines() if each.strip()), "")
    return replace(route, subject=subject or line(first, _SUBJECT_CHARACTERS) or None)
