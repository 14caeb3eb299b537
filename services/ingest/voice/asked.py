"""What one webhook of a call is about.

Twilio tells apart by nothing what it calls for, so our own URLs say it: `step`, the `menu` that was
said, `n`, the place in the call, `try`, how often that menu was said. They are covered by the signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, quote, urlencode

from schemas.calls import CallStatus
from services.chassis.accounts import Account
from services.ingest.channels.twilio import addressee, parameters
from services.ingest.voice.sealed import unseal
from services.ingest.webhook import Arrival, BadItem, Webhook

MOST_STEPS = 60
"""A call that asked for more of us is in a loop."""
_SID_CHARACTERS = 100
_FINAL = {
    "completed": CallStatus.COMPLETED,
    "busy": CallStatus.MISSED,
    "no-answer": CallStatus.MISSED,
    "canceled": CallStatus.MISSED,
    "failed": CallStatus.FAILED,
}
STATUSES = frozenset({"queued", "initiated", "ringing", "in-progress", *_FINAL})


class Step(StrEnum):
    """What a webhook tells, or asks for."""

    START = "start"
    PROGRESS = "progress"
    CHOICE = "choice"
    RECORDED = "recorded"
    """The caller's message is over."""
    RECORDING = "recording"
    TRANSCRIPTION = "transcription"
    QUEUED = "queued"
    """The caller left the queue."""
    DIALLED = "dialled"
    """The call to the number is over."""


_NAMED = frozenset(Step) - {Step.START, Step.PROGRESS}


@dataclass(frozen=True, slots=True)
class Asked:
    """One webhook of a call, read."""

    given: Mapping[str, str]
    account: Account
    """Whose number was called."""
    step: Step
    call: str
    """Twilio's CallSid."""
    outbound: bool
    caller: str
    """The Customer's address as Twilio gives it; may be `anonymous`, `client:…`, `sip:…`."""
    menu: str = ""
    n: int = 0
    tries: int = 1

    @property
    def final(self) -> CallStatus | None:
        """How the call ended, where the webhook says that it has."""
        return _FINAL.get(self.given.get("CallStatus", ""))

    @property
    def digits(self) -> str:
        """What was pressed."""
        return self.given.get("Digits", "")

    @property
    def speech(self) -> str:
        """What was said."""
        return self.given.get("SpeechResult", "")


def read(webhook: Webhook, arrival: Arrival) -> Asked:
    """Return what the webhook is about. Raises BadItem."""
    given = parameters(webhook)
    ours = {name: values[0] for name, values in parse_qs(webhook.query).items()}
    call = given.get("CallSid", "").strip()
    if not call or len(call) > _SID_CHARACTERS or not call.isprintable():
        reason = "no CallSid"
        raise BadItem(reason)
    step = _step(given, ours.get("step"))
    outbound = given.get("Direction", "inbound").startswith("outbound")
    us, them = ("From", "To") if outbound else ("To", "From")
    account = addressee(given.get(us, ""), arrival)
    caller = given.get(them, "").strip() or unseal(ours.get("caller", ""), call, account)
    if not caller:
        reason = "no caller"
        raise BadItem(reason)
    return Asked(
        given,
        account,
        step,
        call,
        outbound,
        caller,
        menu=ours.get("menu", "")[:64],
        n=_count(ours.get("n"), 0),
        tries=_count(ours.get("try"), 1),
    )


def _step(given: Mapping[str, str], named: str | None) -> Step:
    if given.get("ParentCallSid"):
        reason = "a leg of another call"
        raise BadItem(reason)
    if "UnstableSpeechResult" in given or "StableSpeechResult" in given:
        reason = "a part of what is being said, which we never ask for"
        raise BadItem(reason)
    if named is not None:
        if named not in _NAMED:
            reason = "unknown step"
            raise BadItem(reason)
        return Step(named)
    if given.get("TranscriptionSid"):
        return Step.TRANSCRIPTION
    if given.get("RecordingStatus"):
        return Step.RECORDING
    status = given.get("CallStatus", "")
    if status not in STATUSES:
        reason = "unknown call status"
        raise BadItem(reason)
    told = "SequenceNumber" in given or "CallbackSource" in given or status in _FINAL
    return Step.PROGRESS if told else Step.START


def _count(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 4 else otherwise  # noqa: PLR2004  (more is no count of ours)


def url(webhook: Webhook, asked: Asked, step: Step, **more: object) -> str:
    """Return the address at which the next word on the call is to arrive."""
    path = f"{webhook.path.rpartition('/')[0]}/{quote(asked.account.account)}"
    return f"{webhook.public_url.rstrip('/')}{path}?{urlencode({'step': step.value, **more})}"
