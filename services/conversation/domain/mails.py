"""What is particular to mail: which of ours it answers, who writes as a guest, and when it is too much.

A loop of two programs that answer each other shows no header that gives it away, so it ends by number: an
address that sent us, or got from us, `mails_per_hour` is recorded and no longer heeded until there are fewer.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from schemas.common import Channel
from schemas.inbound import MessageIdentified
from services.chassis.inboxes import MOST_MAILS_PER_HOUR
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Correspondence, Mailed, Thread

KEPT_MAILED = 20
_KEPT_ADDRESSES = 8
_REPORTS = frozenset({"complaint", "unsubscribe", "resubscribe"})
_HOUR = timedelta(hours=1)


def answered(thread: Thread, message: MessageIdentified) -> UUID | None:
    """Return the message of ours in this thread that a mail's In-Reply-To, else References, name.

    Anybody can write these headers, so they name nothing outside the thread the mail is in anyway.
    """
    personal = message.personal
    if message.data.channel is not Channel.EMAIL or not thread.mailed:
        return None
    known = {name: mailed.message_id for mailed in thread.mailed for name in _names(mailed)}
    named = (personal.in_reply_to or "", *reversed(personal.references))
    return next((known[name] for each in named for name in _spellings(each) if name in known), None)


def _names(mailed: Mailed) -> Iterable[str]:
    yield str(mailed.message_id)
    if mailed.provider_message_id:
        yield mailed.provider_message_id.strip("<>")


def _spellings(message_id: str) -> tuple[str, str]:
    """Return the id, and what stands before its `@`: our own id, or the one a provider gave instead."""
    whole = message_id.strip("<>")
    return whole, whole.rpartition("@")[0]


def shows_a_way_back(message: MessageIdentified) -> bool:
    """Tell whether the Customer may be answered by it: not by a guest's mail, nor by a provider's report."""
    return not message.data.guest and message.data.kind not in _REPORTS


def contact_address(thread: Thread, message: MessageIdentified) -> str:
    """Return the address whose Contact the message belongs to: the Customer's, also when a guest writes."""
    route = thread.routes.get(message.data.channel)
    return route.address.value if message.data.guest and route else message.personal.sender.value


def note_received(draft: Draft, message: MessageIdentified, limit: int) -> bool:
    """Count a mail; return whether its address has sent or got too many within the hour before it."""
    if message.data.channel is not Channel.EMAIL:
        return False
    known = _of(draft.thread, message.personal.sender.value)
    received, sent = (_recent(times, draft.now) for times in (known.received, known.sent))
    _keep(draft, replace(known, received=(*received, draft.now)[-MOST_MAILS_PER_HOUR:], sent=sent))
    return max(len(received), len(sent)) >= limit


def note_sent(draft: Draft, message_id: UUID, address: str) -> None:
    """Remember a mail of ours: answers will name it, and it counts."""
    mailed = (*draft.thread.mailed, Mailed(message_id, home=draft.home))[-KEPT_MAILED:]
    draft.thread = replace(draft.thread, mailed=mailed)
    known = _of(draft.thread, address)
    sent = (*_recent(known.sent, draft.now), draft.now)[-MOST_MAILS_PER_HOUR:]
    _keep(draft, replace(known, sent=sent))


def note_name(draft: Draft, message_id: UUID, provider_message_id: str | None) -> None:
    """Learn by which id the provider sent a mail of ours."""
    if provider_message_id is None:
        return
    mailed = tuple(
        replace(each, provider_message_id=provider_message_id) if each.message_id == message_id else each
        for each in draft.thread.mailed
    )
    draft.thread = replace(draft.thread, mailed=mailed)


def _of(thread: Thread, address: str) -> Correspondence:
    return next((each for each in thread.mails if each.address == address), Correspondence(address))


def _keep(draft: Draft, mails: Correspondence) -> None:
    others = (each for each in draft.thread.mails if each.address != mails.address)
    mails = replace(mails, home=mails.home or draft.home)
    draft.thread = replace(draft.thread, mails=(*others, mails)[-_KEPT_ADDRESSES:])


def _recent(times: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    return tuple(at for at in times if at > now - _HOUR)
