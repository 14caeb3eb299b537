"""How a call goes on: from a menu and what was pressed or said to the next turn, and its TwiML.

Nothing is remembered between two webhooks: where a call stands is in the URL that Twilio calls, so the
same webhook always gets the same answer.
"""

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from services.ingest.voice import twiml
from services.ingest.voice.asked import MOST_STEPS, Asked, Step, url
from services.ingest.voice.menus import Menu, Menus, Turn
from services.ingest.voice.sealed import seal
from services.ingest.webhook import Webhook

_WORD = re.compile(r"\w+", re.UNICODE)
_CONNECTED = frozenset({"bridged", "completed", "answered"})
_LEFT = frozenset({"hangup", "leave"})
_MOST_HINTS = 100


@dataclass(frozen=True, slots=True)
class Move:
    """What a caller's answer leads to. No `turn`: the menu is said again."""

    menu: Menu
    turn: Turn | None
    chosen: bool = False
    """The caller chose it; else it is what the menu does otherwise."""


def moved(menus: Menus, asked: Asked) -> Move:
    """Return what the caller's answer to a menu leads to."""
    menu = menus.named(asked.menu, asked.account.account)
    chosen = _pick(menu, asked.digits, asked.speech)
    if chosen is not None:
        return Move(menu, chosen, chosen=True)
    return Move(menu, None if asked.tries < menu.tries else menu.otherwise)


def menu_of(menus: Menus, asked: Asked) -> Menu:
    """Return the menu that the webhook is about: at the start the first one."""
    account = asked.account.account
    return menus.first(account) if asked.step is Step.START else menus.named(asked.menu, account)


def passed(menus: Menus, asked: Asked) -> tuple[Turn, ...]:
    """Return the turns that the call takes with this webhook, in their order."""
    match asked.step:
        case Step.START if not asked.outbound:
            menu = menu_of(menus, asked)
            turn = None if menu.choices else menu.otherwise
        case Step.CHOICE:
            turn = moved(menus, asked).turn
        case Step.QUEUED | Step.DIALLED if _waits_on(menus, asked):
            turn = menu_of(menus, asked).otherwise
        case _:
            turn = None
    turns = list[Turn]()
    while turn is not None:
        turns.append(turn)
        goal = menus.named(turn.menu, asked.account.account) if turn.menu else None
        turn = goal.otherwise if goal is not None and not goal.choices else None
    return tuple(turns)


def connected(asked: Asked) -> bool:
    """Tell whether the caller spoke with somebody: the queue or the dialled number says so."""
    words = {Step.QUEUED: "QueueResult", Step.DIALLED: "DialCallStatus"}
    return asked.given.get(words.get(asked.step, ""), "") in _CONNECTED


def answered(menus: Menus, asked: Asked) -> bool:
    """Tell whether the caller has what they called for: somebody's words, or those of the choice made."""
    if asked.step is not Step.CHOICE:
        return connected(asked)
    turns = passed(menus, asked)
    return bool(turns) and turns[-1].hang_up and moved(menus, asked).chosen


def to_voicemail(menus: Menus, asked: Asked) -> bool:
    """Tell whether the caller leaves a message now, or has left one."""
    left = asked.step in {Step.RECORDED, Step.RECORDING, Step.TRANSCRIPTION}
    return left or any(turn.voicemail for turn in passed(menus, asked))


def _waits_on(menus: Menus, asked: Asked) -> bool:
    """Tell whether the call goes on where nobody answered; but it never waits a second time."""
    over = connected(asked) or asked.given.get("QueueResult") in _LEFT
    otherwise = menu_of(menus, asked).otherwise
    return not (over or otherwise.enqueue or otherwise.dial or asked.n >= MOST_STEPS)


def answer(menus: Menus, asked: Asked, webhook: Webhook) -> str:
    """Return what the caller hears next."""
    verbs = _Verbs(menus, asked, webhook)
    match asked.step:
        case Step.START if not asked.outbound:
            return twiml.document(verbs.menu(menus.first(asked.account.account), 1))
        case Step.CHOICE:
            return twiml.document(verbs.after(moved(menus, asked)))
        case Step.RECORDED:
            return twiml.document(verbs.goodbye())
        case Step.QUEUED | Step.DIALLED:
            return twiml.document(verbs.after_waiting())
        case _:
            return twiml.NOTHING


def _pick(menu: Menu, digits: str, speech: str) -> Turn | None:
    if digits:
        return next((choice for choice in menu.choices if choice.digits == digits), None)
    said = _spelt(speech)
    return next(
        (
            choice
            for choice in menu.choices
            if any(f" {_spelt(word)} " in f" {said} " for word in choice.words)
        ),
        None,
    )


def _spelt(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


@dataclass(frozen=True, slots=True)
class _Verbs:
    menus: Menus
    asked: Asked
    webhook: Webhook

    def after(self, move: Move) -> list[Element]:
        if self.asked.n >= MOST_STEPS:
            return [twiml.hang_up()]
        if move.turn is None:
            return self.menu(move.menu, self.asked.tries + 1, move.menu.invalid)
        return self.turn(move.menu, move.turn)

    def after_waiting(self) -> list[Element]:
        if not _waits_on(self.menus, self.asked):
            return [twiml.hang_up()]
        return self.turn(menu := self._menu, menu.otherwise)

    def menu(self, menu: Menu, tries: int, before: str | None = None) -> list[Element]:
        prompts = [twiml.say(text, menu.language, menu.voice) for text in (before, menu.say) if text]
        if not menu.choices:
            return [*prompts, *self.turn(menu, menu.otherwise)]
        words = [word for choice in menu.choices for word in choice.words]
        lengths = {len(choice.digits) for choice in menu.choices if choice.digits}
        attributes = {
            "input": " ".join(name for name, used in (("dtmf", lengths), ("speech", words)) if used),
            "timeout": str(menu.timeout_seconds),
            "numDigits": str(lengths.copy().pop()) if len(lengths) == 1 else None,
            "language": menu.language if words else None,
            "speechTimeout": "auto" if words else None,
            "hints": ", ".join(words[:_MOST_HINTS]) if words else None,
        }
        action = self._url(Step.CHOICE, menu=menu.name, **{"try": tries})
        return [twiml.gather(prompts, action, attributes)]

    def turn(self, menu: Menu, turn: Turn) -> list[Element]:
        before = [twiml.say(turn.say, menu.language, menu.voice)] if turn.say else []
        if turn.menu:
            goal = self.menus.named(turn.menu, self.asked.account.account)
            return [*before, *self.menu(goal, 1)]
        return [*before, *self._end(menu, turn)]

    def _end(self, menu: Menu, turn: Turn) -> list[Element]:
        if turn.voicemail:
            return [twiml.say(turn.voicemail, menu.language, menu.voice), self._record(menu)]
        if turn.enqueue:
            return [twiml.enqueue(turn.enqueue, self._url(Step.QUEUED, menu=menu.name))]
        if turn.dial:
            return [twiml.dial(turn.dial, self._url(Step.DIALLED, menu=menu.name))]
        return [twiml.hang_up()]

    def goodbye(self) -> list[Element]:
        menu = self._menu
        return [twiml.say(self.menus.goodbye, menu.language, menu.voice), twiml.hang_up()]

    def _record(self, menu: Menu) -> Element:
        sealed = seal(self.asked.caller, self.asked.call, self.asked.account)
        attributes: dict[str, str | None] = {
            "maxLength": str(self.menus.voicemail_seconds),
            "recordingStatusCallback": self._url(Step.RECORDING, caller=sealed),
            "recordingStatusCallbackMethod": "POST",
            "recordingStatusCallbackEvent": "completed absent",
        }
        if self.menus.transcribe:
            attributes["transcribe"] = "true"
            attributes["transcribeCallback"] = self._url(Step.TRANSCRIPTION, caller=sealed)
        return twiml.record(self._url(Step.RECORDED, menu=menu.name), attributes)

    @property
    def _menu(self) -> Menu:
        return menu_of(self.menus, self.asked)

    def _url(self, step: Step, **more: object) -> str:
        return url(self.webhook, self.asked, step, **more, n=self.asked.n + 1)
