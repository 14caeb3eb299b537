"""Twilio Voice: calls as they go on, and what the caller hears next.

Format: https://www.twilio.com/docs/usage/webhooks/voice-webhooks; the signature is in `twilio.py`.
Dedup key, within account and caller: (CallSid, step), where a step is the start; a status with its
SequenceNumber; a choice, the end of a queue or of a dialled call with its place in our own URL; a
recording with its RecordingSid and status; a transcription with its TranscriptionSid.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from schemas.calls import CallChoice, CallEnd, CallStep, CallWords, SpokenChoice
from schemas.common import Attachment, Identifier
from schemas.ids import derive
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.chassis.text import line
from services.ingest.channels.items import Said, received
from services.ingest.channels.twilio import verify
from services.ingest.voice import flow
from services.ingest.voice.asked import Asked, Step, read
from services.ingest.voice.menus import PLAIN
from services.ingest.voice.twiml import NOTHING
from services.ingest.webhook import Arrival, BadItem, Item, Received, Unreadable, Webhook

__all__ = ["PROVIDER", "answer", "parse", "verify"]

PROVIDER = "twilio-voice"
_ANONYMOUS = frozenset({"anonymous", "restricted", "unavailable", "unknown", "private", "blocked"})
_NAMELESS_NUMBERS = frozenset({"+266696687", "266696687", "+86282452253", "+7378742883", "+2562533"})
"""What Twilio shows for `anonymous`, `unavailable`, `restricted` and `blocked`, spelt on a keypad."""
_NAMES_OF_NOBODY = _ANONYMOUS | {"wireless caller", "unknown name", "toll free call", "out of area"}
"""What caller-name databases say where they know no name."""
_SPOOFED = "TN-Validation-Failed"
_WORD_CHARACTERS = 2000


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the one word on a call that the webhook holds."""
    try:
        return [_word(read(webhook, arrival), arrival)]
    except BadItem as error:
        return [Unreadable(str(error), webhook.body or webhook.query.encode())]


def answer(webhook: Webhook, arrival: Arrival) -> str:
    """Return the TwiML that the call goes on with."""
    try:
        return flow.answer(arrival.menus or PLAIN, read(webhook, arrival), webhook)
    except BadItem:
        return NOTHING


def _word(asked: Asked, arrival: Arrival) -> Received:
    step, words = _step(asked, arrival)
    sender = _caller(asked)
    text = asked.given.get("TranscriptionText", "") if asked.step is Step.TRANSCRIPTION else ""
    return received(
        arrival,
        asked.account,
        Said(text, "call", _recording(asked)),
        dedup=f"{asked.call}:{_place(asked)}",
        provider_message_id=asked.call,
        identifiers=[sender],
        key=sender.value,
        name=_name(asked.given.get("CallerName", "")),
        sent_at=_told_at(asked),
        outbound=asked.outbound,
        call=step,
        call_words=words,
    )


def _name(shown: str) -> str | None:
    return None if shown.strip().casefold() in _NAMES_OF_NOBODY else shown


def _place(asked: Asked) -> str:
    """Return what tells this word from others on the call, and is the same when it is repeated."""
    given = asked.given
    parts = {
        Step.PROGRESS: (given.get("CallStatus"), given.get("SequenceNumber")),
        Step.RECORDED: (given.get("RecordingSid"),),
        Step.RECORDING: (given.get("RecordingSid"), given.get("RecordingStatus")),
        Step.TRANSCRIPTION: (given.get("TranscriptionSid"), given.get("TranscriptionStatus")),
    }.get(asked.step, (asked.menu, str(asked.n)))
    return ":".join([asked.step.value, *(part or "" for part in parts)])


def _step(asked: Asked, arrival: Arrival) -> tuple[CallStep, CallWords | None]:
    menus, account = arrival.menus or PLAIN, asked.account
    turns = flow.passed(menus, asked)
    topic = next((turn.topic for turn in reversed(turns) if turn.topic), None)
    skills = {name: level for turn in turns for name, level in turn.skills.items()}
    inbox = next((turn.inbox for turn in reversed(turns) if turn.inbox), None)
    spoken, transcript = _spoken(asked), asked.given.get("TranscriptionSid", "")
    tells = bool(spoken or topic or skills or inbox)
    step = CallStep(
        call_id=derive("call", account.provider, account.account, asked.call),
        end=_end(asked, arrival),
        answered=flow.answered(menus, asked),
        voicemail=flow.to_voicemail(menus, asked),
        choice=CallChoice(n=asked.n, menu=flow.menu_of(menus, asked).name, topic=topic) if tells else None,
        skills=skills,
        inbox=inbox,
    )
    if asked.step is Step.TRANSCRIPTION:
        return step, CallWords(transcript=line(transcript, 100) or None)
    return step, CallWords(choice=spoken) if spoken else None


def _spoken(asked: Asked) -> SpokenChoice | None:
    if asked.step is not Step.CHOICE or not (asked.digits or asked.speech):
        return None
    digits, speech = line(asked.digits, 100), line(asked.speech, _WORD_CHARACTERS)
    return SpokenChoice(n=asked.n, digits=digits or None, speech=speech or None)


def _end(asked: Asked, arrival: Arrival) -> CallEnd | None:
    if asked.final is None:
        return None
    told = asked.step is Step.PROGRESS
    at = _told_at(asked) if told else None
    return CallEnd(
        status=asked.final,
        at=min(at or arrival.received_at, arrival.received_at),
        seconds=_seconds(asked) if told else None,
        implied=not told,
    )


def _seconds(asked: Asked) -> int | None:
    seconds = asked.given.get("CallDuration", "")
    return int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 8 else None  # noqa: PLR2004  (no call lasts months)


def _told_at(asked: Asked) -> datetime | None:
    if asked.step is not Step.PROGRESS:
        return None
    try:
        at = parsedate_to_datetime(asked.given.get("Timestamp", ""))
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _caller(asked: Asked) -> Identifier:
    """Return by what the caller is known. Who shows no number is somebody new in each call.

    Only the start of a call vouches for the number, and not where the network found it to be false.
    """
    account, caller = asked.account, asked.caller
    vouched = asked.step is Step.START and not asked.given.get("StirVerstat", "").startswith(_SPOOFED)
    kind, _, name = caller.partition(":")
    try:
        if kind == "client":
            return identifier("external:twilio-client", name, verified=True)
        if kind in {"sip", "sips"}:
            return identifier("external:sip", name.partition(";")[0])
        if caller.casefold() not in _ANONYMOUS and caller not in _NAMELESS_NUMBERS:
            return identifier("phone", caller, account.region, verified=vouched)
    except InvalidIdentifier:
        pass
    return identifier("external:twilio-call", asked.call)


def _recording(asked: Asked) -> tuple[Attachment, ...]:
    sid, url = asked.given.get("RecordingSid", ""), asked.given.get("RecordingUrl", "")
    if not sid or not url or asked.given.get("RecordingStatus", "completed") != "completed":
        return ()
    return (Attachment(content_type="audio/x-wav", url=line(url, 2000), media_id=line(sid, 100)),)
