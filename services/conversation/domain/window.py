"""Until when a channel takes free text after the Customer's last message.

WhatsApp, Messenger and Instagram: 24 hours, then only templates. On Messenger and Instagram people (not
bots) may answer for 7 days under the tag HUMAN_AGENT.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum

from schemas.common import Channel
from schemas.inbound import MessageIdentified
from services.conversation.domain.consent import Line, line_of
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread

_FREE = timedelta(hours=24)
_BY_PEOPLE = timedelta(days=7)
_WINDOWED = frozenset({Channel.WHATSAPP, Channel.MESSENGER, Channel.INSTAGRAM})
_PEOPLE_MAY = frozenset({Channel.MESSENGER, Channel.INSTAGRAM})
_SAYS_NOTHING = frozenset({"reaction", "system", "delivery_report", "read"})


class Window(Enum):
    """Whether free text may be sent."""

    OPEN = "open"
    PEOPLE = "only people may write, and tagged so"
    SHUT = "only a template may be sent"


def note(draft: Draft, message: MessageIdentified) -> None:
    """Remember that the Customer wrote, where the provider counts from it."""
    data = message.data
    if data.channel not in _WINDOWED or data.automatic or data.kind in _SAYS_NOTHING:
        return
    standing = line_of(message).standing(draft.thread)
    if standing.heard_at is None or standing.heard_at < data.sent_at:
        draft.thread = draft.thread.with_standing(
            replace(standing, heard_at=data.sent_at, home=standing.home or draft.home)
        )


def window(thread: Thread, line: Line, now: datetime) -> Window:
    """Return whether free text may be sent on this line now."""
    if line.channel not in _WINDOWED:
        return Window.OPEN
    last = line.heard_at(thread)
    if last is not None and now < last + _FREE:
        return Window.OPEN
    people = line.channel in _PEOPLE_MAY and last is not None and now < last + _BY_PEOPLE
    return Window.PEOPLE if people else Window.SHUT
