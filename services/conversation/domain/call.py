"""A call, as the words on it tell.

Words come in any order and more than once. What a call is follows from the set of its words alone:
`told` may be applied in any order, and applied again it changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from schemas.calls import CallChoice, CallEnd, CallStatus, CallStep, SpokenChoice
from schemas.common import Attachment, Identifier
from schemas.ids import recording_id
from schemas.inbound import MessageIdentified

MOST_PARTS = 60
"""Choices, recordings or transcripts of one call."""
_TRANSCRIPT_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """One answer of the caller to a menu."""

    choice: CallChoice
    spoken: SpokenChoice
    skills: Mapping[str, int] = field(default_factory=dict)
    inbox: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    id: str
    outbound: bool
    account: str
    address: Identifier
    heard_at: datetime
    """When its first word was said, in the provider's time."""
    received_at: datetime
    """When its first word came to us."""
    name: str | None = None
    end: CallEnd | None = None
    implied: CallEnd | None = None
    """That it is over, learnt by the way."""
    answered: bool = False
    voicemail: bool = False
    taken: bool = False
    """An Agent got the Conversation during the call, and had it at the end."""
    chosen: tuple[Chosen, ...] = ()
    recordings: tuple[Attachment, ...] = ()
    transcripts: tuple[tuple[str, str], ...] = ()
    """Each with the provider's id."""
    conversation_id: str | None = None
    contact_id: str | None = None
    home: str = ""
    """The Customer who has `address`."""
    shown: int = 0
    """How often the timeline was told since its first word."""

    @property
    def over(self) -> CallEnd | None:
        """How and when it ended; what the provider told as such counts most."""
        return self.end or self.implied

    @property
    def started_at(self) -> datetime:
        """When it began."""
        if self.end is None or self.end.seconds is None:
            return self.heard_at
        try:
            return min(self.heard_at, self.end.at - timedelta(seconds=self.end.seconds))
        except OverflowError:
            return self.heard_at

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return max(self.over.at, self.started_at) if self.over else None

    @property
    def seconds(self) -> int | None:
        """How long it took."""
        if self.over is None or self.ended_at is None:
            return None
        told = self.over.seconds
        return told if told is not None else int((self.ended_at - self.started_at).total_seconds())

    @property
    def status(self) -> CallStatus:
        """How it stands. Who spoke with nobody was missed, and who left a message too."""
        if self.over is None:
            return CallStatus.IN_PROGRESS
        if self.answered:
            return CallStatus.COMPLETED
        if self.over.status is CallStatus.FAILED:
            return CallStatus.FAILED
        spoken = (self.taken and not self.voicemail) or (
            self.outbound and self.over.status is CallStatus.COMPLETED
        )
        return CallStatus.COMPLETED if spoken else CallStatus.MISSED

    @property
    def topic(self) -> str | None:
        """The Topic of the last choice that has one."""
        return next((each.choice.topic for each in reversed(self.chosen) if each.choice.topic), None)

    @property
    def skills(self) -> dict[str, int]:
        """What the choices ask of an Agent; later ones overrule earlier ones."""
        return {name: level for each in self.chosen for name, level in each.skills.items()}

    @property
    def inbox(self) -> str | None:
        """The Inbox of the last choice that has one."""
        return next((each.inbox for each in reversed(self.chosen) if each.inbox), None)

    @property
    def transcript(self) -> str:
        """All transcripts, each a paragraph."""
        return "\n\n".join(text for _, text in self.transcripts)


def begun(message: MessageIdentified, step: CallStep) -> Call:
    """Return the call of which `message` is the first word, before the word itself is told."""
    data = message.data
    return Call(
        id=str(step.call_id),
        outbound=data.direction == "outbound",
        account=data.account,
        address=message.personal.sender.model_copy(update={"verified": False}),
        heard_at=data.sent_at,
        received_at=data.received_at,
        home=message.home,
    )


def told(call: Call, message: MessageIdentified, step: CallStep) -> Call:
    """Return the call with one more word."""
    data, personal = message.data, message.personal
    end, implied = call.end, call.implied
    if step.end is not None and step.end.implied:
        implied = _first(implied, step.end)
    elif step.end is not None:
        end = _first(end, step.end)
    return replace(
        call,
        heard_at=min(call.heard_at, data.sent_at),
        received_at=min(call.received_at, data.received_at),
        name=min(filter(None, (call.name, personal.name)), default=None),
        end=end,
        implied=implied,
        answered=call.answered or step.answered,
        voicemail=call.voicemail or step.voicemail,
        chosen=_chosen(call.chosen, message, step),
        recordings=_recordings(call.recordings, personal.attachments, call.id),
        transcripts=_transcripts(call.transcripts, message),
    )


def _first(known: CallEnd | None, other: CallEnd) -> CallEnd:
    ends = (other,) if known is None else (known, other)
    return min(ends, key=lambda end: (end.at, end.status, -1 if end.seconds is None else end.seconds))


def _chosen(known: tuple[Chosen, ...], message: MessageIdentified, step: CallStep) -> tuple[Chosen, ...]:
    if step.choice is None or any(each.choice.n == step.choice.n for each in known):
        return known
    words = message.personal.call.choice if message.personal.call else None
    made = Chosen(
        choice=step.choice,
        spoken=words or SpokenChoice(n=step.choice.n),
        skills=dict(step.skills),
        inbox=step.inbox,
    )
    return tuple(sorted((*known, made), key=lambda each: each.choice.n))[:MOST_PARTS]


def _recordings(
    known: tuple[Attachment, ...], files: Sequence[Attachment], call: str
) -> tuple[Attachment, ...]:
    """Add recordings as everybody may know them: by id, not by where they are."""
    by_id = {
        str(name): Attachment(id=name, content_type=file.content_type, filename=file.filename, size=file.size)
        for file in files
        if file.media_id and (name := recording_id(UUID(call), file.media_id))
    }
    by_id |= {str(file.id): file for file in known}
    return tuple(by_id[name] for name in sorted(by_id))[:MOST_PARTS]


def _transcripts(
    known: tuple[tuple[str, str], ...], message: MessageIdentified
) -> tuple[tuple[str, str], ...]:
    text = message.personal.text.strip()[:_TRANSCRIPT_CHARACTERS]
    words = message.personal.call
    name = (words.transcript if words else None) or ""
    if not text or any(each == name for each, _ in known):
        return known
    return tuple(sorted((*known, (name, text))))[:MOST_PARTS]
