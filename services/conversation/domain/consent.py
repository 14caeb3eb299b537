"""Whether we may write to an address: STOP and START, what providers report, and HELP.

Kept per (provider, account, address). A word is taken by the provider's time, so late and repeated
ones change nothing. Keywords: https://help.twilio.com/articles/223134027.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from schemas.common import Channel, Identifier
from schemas.conversations import ConsentChanged, ConsentPersonal
from schemas.inbound import MessageIdentified
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Consent, Standing, Thread

_BY_KEYWORD = frozenset({"twilio-sms"})
"""Providers that go by keywords on every channel; on SMS all do."""
_MARKETING_ONLY = frozenset({"whatsapp"})
"""Providers at which people stop marketing, not answers to what they ask."""
_LONGEST = 40


class Word(StrEnum):
    """What a message asks for by being nothing but a keyword."""

    STOP = "stop"
    START = "start"
    HELP = "help"


_KEYWORDS = {
    **dict.fromkeys(
        ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"), Word.STOP
    ),
    **dict.fromkeys(("start", "unstop"), Word.START),
    **dict.fromkeys(("help", "info"), Word.HELP),
}
_IF_OPTED_OUT = {"yes": Word.START}
"""From anybody else it answers a question."""
_BETWEEN = re.compile(r"[\W_]+")


def keyword(text: str, *, opted_out: bool) -> Word | None:
    """Return what `text` asks for when it is one keyword and nothing else.

    Case, spaces and punctuation do not matter (`Stop.`, `opt-out`, `STOP ALL`), but a question is none,
    nor is a cry for help.
    """
    if len(text) > _LONGEST or "?" in text:
        return None
    bare = _BETWEEN.sub("", unicodedata.normalize("NFKC", text).casefold())
    word = _KEYWORDS.get(bare) or (_IF_OPTED_OUT.get(bare) if opted_out else None)
    return None if word is Word.HELP and "!" in text else word


@dataclass(frozen=True, slots=True)
class Line:
    """Between one of our accounts and one address of the Customer."""

    provider: str
    account: str
    channel: Channel
    address: Identifier

    @property
    def scope(self) -> Literal["all", "marketing"]:
        """What an opt-out here is about."""
        return "marketing" if self.provider in _MARKETING_ONLY else "all"

    def standing(self, thread: Thread) -> Standing:
        """Return how the two stand."""
        return thread.standing(self.provider, self.account, self.address.value)

    def heard_at(self, thread: Thread) -> datetime | None:
        """Return when the Customer last wrote by it; where the provider's time is not kept, ours."""
        known = self.standing(thread).heard_at
        if known is not None:
            return known
        route = thread.routes.get(self.channel)
        if route is None or (route.provider, route.account) != (self.provider, self.account):
            return None
        return route.at if route.address.value == self.address.value else None


def line_of(message: MessageIdentified) -> Line:
    """Return the line a Customer's message came by."""
    data = message.data
    return Line(data.provider, data.account, data.channel, message.personal.sender)


def word_of(thread: Thread, message: MessageIdentified) -> Word | None:
    """Return what a Customer's message asks for; None for anything but a change of consent or HELP."""
    data = message.data
    if data.consent is not None:
        return Word(data.consent)
    by_keyword = data.channel is Channel.SMS or data.provider in _BY_KEYWORD
    if data.automatic or data.kind != "text" or not by_keyword:
        return None
    return keyword(message.personal.text, opted_out=opted_out(thread, line_of(message)) is not None)


def settle(known: Consent | None, heard: Consent) -> Consent:
    """Return which of two words counts: the later; of two at once the one that opts out.

    The order in which several are heard does not matter.
    """
    if known is None:
        return heard
    return max(known, heard, key=lambda word: (word.at, word.opted_out, word.source == "customer"))


def opted_out(thread: Thread, line: Line) -> Consent | None:
    """Return the opt-out in force, of whatever scope."""
    known = line.standing(thread).consent
    return known if known is not None and known.opted_out else None


def refusing(thread: Thread, line: Line, *, marketing: bool) -> Consent | None:
    """Return the opt-out that forbids us a message, if there is one."""
    return opted_out(thread, line) if marketing or line.scope == "all" else None


def heed(draft: Draft, message: MessageIdentified, word: Word | None) -> None:
    """Let a Customer's message change their consent."""
    line, at = line_of(message), message.data.sent_at
    if word in (Word.STOP, Word.START):
        source: Literal["customer", "provider"] = "provider" if line.channel is Channel.EMAIL else "customer"
        take(draft, line, Consent(word is Word.STOP, at, source), message.data.inbox)
    elif word is None and _lifted_by_writing(draft.thread, line, message) and not message.data.automatic:
        take(draft, line, Consent(opted_out=False, at=at, source="customer"), message.data.inbox)


def _lifted_by_writing(thread: Thread, line: Line, message: MessageIdentified) -> bool:
    """Who had blocked us, and now writes, does so no more; a STOP is taken back by a START only."""
    known = opted_out(thread, line)
    if known is None or line.scope != "all" or line.channel is Channel.SMS:
        return False
    if not message.personal.sender.verified:
        return False  # a mail's From proves nothing: else anybody could lift it for them
    return known.source == "provider" or line.provider not in _BY_KEYWORD


def reported(draft: Draft, line: Line, at: datetime) -> None:
    """Learn from a provider's refusal at `at` that the address has opted out."""
    heard_at = line.heard_at(draft.thread)
    if line.scope == "all" and line.channel is not Channel.SMS and heard_at is not None and heard_at > at:
        return  # they have written since
    current = draft.thread.current
    word = Consent(opted_out=True, at=at, source="provider")
    take(draft, line, word, current.inbox if current else "")


def take(draft: Draft, line: Line, heard: Consent, inbox: str) -> None:
    """Take in a word, and tell of it when it changes what holds; without a Conversation in `inbox`."""
    standing = line.standing(draft.thread)
    settled = settle(standing.consent, heard)
    before = standing.consent.opted_out if standing.consent else None
    draft.thread = draft.thread.with_standing(
        replace(standing, consent=settled, home=standing.home or draft.home)
    )
    if settled.opted_out is not before:
        _tell(draft, line, settled, inbox)


def _tell(draft: Draft, line: Line, settled: Consent, inbox: str) -> None:
    current = draft.thread.current
    said = {
        "channel": line.channel,
        "account": line.account,
        "opted_out": settled.opted_out,
        "scope": line.scope,
        "source": settled.source,
    }
    data = {
        **said,
        "conversation_id": current.id if current else None,
        "inbox": current.inbox if current else inbox,
        "provider": line.provider,
        "changed_at": settled.at,
    }
    event = draft.emit(ConsentChanged, data, ConsentPersonal(address=line.address))
    row = {**said, "address": line.address.value}
    draft.row(str(event.id), "consent", event.seq, row, at=settled.at)
