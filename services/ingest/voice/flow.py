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


def connected(asked: Asked) -> bool:
    """Tell whether the caller spoke with somebody: the queue or the dialled number says so."""
    words = {Step.QUEUED: "QueueResult", Step.DIALLED: "DialCallStatus"}
    return asked.given.get(words.get(asked.step, ""), "") in _CONNECTED


def to_voicemail(menus: Menus, asked: Asked) -> bool:
    """Tell whether the caller leaves a message now, or has left one."""
    match asked.step:
        case Step.RECORDED | Step.RECORDING | Step.TRANSCRIPTION:
            return True
        case Step.CHOICE:
            turn = moved(menus, asked).turn
            return turn is not None and _ends_in_voicemail(menus, turn, asked.account.account)
        case Step.QUEUED | Step.DIALLED:
            waited_on = not connected(asked) and asked.given.get("QueueResult") not in _LEFT
            return waited_on and bool(menus.named(asked.menu, asked.account.account).otherwise.voicemail)
        case _:
            return False


def _ends_in_voicemail(menus: Menus, turn: Turn, account: str) -> bool:
    if turn.menu and not (goal := menus.named(turn.menu, account)).choices:
        return bool(goal.otherwise.voicemail)
    return bool(turn.voicemail)


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
        """Go on where nobody answered, as the menu does otherwise; but never wait a second time."""
        result = self.asked.given.get("QueueResult", "")
        otherwise = (menu := self._menu).otherwise
        if connected(self.asked) or result in _LEFT or otherwise.enqueue or otherwise.dial:
            return [twiml.hang_up()]
        return [twiml.hang_up()] if self.asked.n >= MOST_STEPS else self.turn(menu, otherwise)

    def menu(self, menu: Menu, tries: int, before: str | None = None) -> list[Element]:
        prompts = [twiml.say(text, menu.language, menu.voice) for text in (before, menu.say) if text]
        words = [word for choice in menu.choices for word in choice.words]
        lengths = {len(choice.digits) for choice in menu.choices if choice.digits}
        attributes = {
            "input": " ".join(name for name, used in (("dtmf", lengths), ("speech", words)) if used)
            or "dtmf",
            "timeout": str(menu.timeout_seconds),
            "numDigits": str(lengths.copy().pop()) if len(lengths) == 1 else None,
            "language": menu.language if words else None,
            "speechTimeout": "auto" if words else None,
            "hints": ", ".join(words[:_MOST_HINTS]) if words else None,
        }
        if not menu.choices:
            return [*prompts, *self.turn(menu, menu.otherwise)]
        action = self._url(Step.CHOICE, menu=menu.name, **{"try": tries})
        return [twiml.gather(prompts, action, attributes)]

    def turn(self, menu: Menu, turn: Turn) -> list[Element]:
        before = [twiml.say(turn.say, menu.language, menu.voice)] if turn.say else []
        if turn.menu:
            goal = self.menus.named(turn.menu, self.asked.account.account)
            # a menu without choices goes on at once: two that name each other must not go on for ever
            return [*before, *(self.menu(goal, 1) if goal.choices else self._plain(goal))]
        return [*before, *self._end(menu, turn)]

    def _plain(self, menu: Menu) -> list[Element]:
        said = [twiml.say(menu.say, menu.language, menu.voice)]
        if menu.otherwise.menu:
            return [*said, twiml.hang_up()]
        return [*said, *self.turn(menu, menu.otherwise)]

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
        return self.menus.named(self.asked.menu, self.asked.account.account)

    def _url(self, step: Step, **more: object) -> str:
        return url(self.webhook, self.asked, step, **more, n=self.asked.n + 1)
