"""HELP is answered by itself, in the account's words."""

from dataclasses import replace
from datetime import timedelta

from schemas.inbound import MessageIdentified
from services.conversation.domain.consent import line_of, opted_out
from services.conversation.domain.draft import Draft
from services.conversation.domain.inbound import route_of
from services.conversation.domain.replies import Words, write

PAUSE = timedelta(minutes=1)
"""At most one answer a number in so long."""


def answer(draft: Draft, message: MessageIdentified, text: str | None) -> None:
    """Answer a HELP with `text`, if there is one; who has opted out is left alone.

    Where Twilio names the OptOutType it has answered by itself.
    """
    line = line_of(message)
    standing = line.standing(draft.thread)
    last = standing.helped_at
    if text is None or message.data.consent is not None or opted_out(draft.thread, line):
        return
    if last is not None and draft.now < last + PAUSE:
        return
    draft.thread = draft.thread.with_standing(
        replace(standing, helped_at=draft.now, home=standing.home or draft.home)
    )
    write(draft, draft.id("help"), line.channel, route_of(message), Words(text))
