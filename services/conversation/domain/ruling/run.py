"""The rules run at the end of a change, in the same draft: what they do is written with its cause.

They see what the change itself caused, and nothing that rules cause: no rule fires another. Each sees the
Conversation as the rules before it have left it.
"""

from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread
from services.conversation.domain.ruling.acting import Means, ask_once, carry_out
from services.conversation.domain.ruling.definition import Event, Rules
from services.conversation.domain.ruling.happenings import Happening, noted
from services.conversation.domain.ruling.matching import due_at, fires


def run(draft: Draft, before: Thread, rules: Rules, means: Means, *, ticking: bool = False) -> None:
    """Let the rules act on what the draft has changed since `before`; by the clock those of age too.

    Comes last: no id may be derived from the draft after it.
    """
    if draft.thread.current is None:
        return
    count = len(draft.caused)
    for happening in noted(draft, before, rules):
        for rule in rules.of(happening.event):
            if fires(rule, draft.conversation, happening):
                carry_out(draft, rule, happening, means)
    for rule in rules.of(Event.AGE) if ticking else ():
        due = due_at(rule, draft.conversation)
        if due is not None and due <= draft.now:
            carry_out(draft, rule, Happening(Event.AGE), means)
    if len(draft.caused) > count:
        ask_once(draft)
