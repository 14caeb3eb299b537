"""A caller, as Twilio stands between one and us: does what our TwiML says, and posts what comes of it."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode
from uuid import uuid4
from xml.etree import ElementTree as ET

from deploy.local.signing import twilio_signature
from deploy.local.webhooks import Webhook, path
from services.chassis.accounts import Account

Call = Generator[Webhook, str, None]
"""Gives one webhook after the other; takes the body each was answered with."""
_FOLLOWED = frozenset({"Gather", "Record", "Enqueue", "Dial", "Hangup"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: presses `keys`, one a menu, then nothing; leaves `says` where a message is recorded."""

    number: str
    keys: str = ""
    says: str = ""
    name: str = ""


def call(account: Account, public_url: str, caller: Caller) -> Call:
    """Play a whole call to `account`, from the first ring to the transcript."""
    line = _Line(account, public_url.rstrip("/"), caller, "CA" + uuid4().hex, datetime.now(UTC))
    answer = yield line.post(path(account), CallStatus="ringing", CallerName=caller.name)
    keys = iter(caller.keys)
    after: Iterator[Webhook] = iter(())
    while (verb := _followed(answer)) is not None and verb.tag != "Hangup":
        action = line.target(verb.attrib["action"])
        match verb.tag:
            case "Gather":
                answer = yield line.post(action, CallStatus="in-progress", Digits=next(keys, ""))
            case "Record":
                recording = line.recording()
                after = line.after_message(verb, recording)
                answer = yield line.post(action, CallStatus="completed", Digits="hangup", **recording)
                break
            case "Enqueue":
                answer = yield line.post(action, CallStatus="completed", QueueResult="hangup", QueueTime="20")
                break
            case _:
                answer = yield line.post(action, CallStatus="in-progress", DialCallStatus="completed")
    yield line.ended()
    yield from after


def followed(calling: Call, post: Callable[[Webhook], str]) -> Iterator[Webhook]:
    """Give each webhook of a call once `post` has made the request and returned its answer."""
    webhook = next(calling, None)
    while webhook is not None:
        answer = post(webhook)
        yield webhook
        try:
            webhook = calling.send(answer)
        except StopIteration:
            return


def _followed(answer: str) -> ET.Element | None:
    """Return the verb that what comes next hangs on."""
    if not answer.lstrip().startswith("<"):
        return None
    verbs: Iterable[ET.Element] = ET.fromstring(answer)  # noqa: S314  (our own stack's answer)
    return next((verb for verb in verbs if verb.tag in _FOLLOWED), None)


@dataclass(frozen=True, slots=True)
class _Line:
    """One call, and how its webhooks are signed."""

    account: Account
    public_url: str
    caller: Caller
    sid: str
    started: datetime

    def target(self, url: str) -> str:
        """Return path and query of one of our URLs."""
        return url.removeprefix(self.public_url)

    def post(self, target: str, **fields: str) -> Webhook:
        """Return a form post to `target`, signed."""
        params = [
            ("CallSid", self.sid),
            ("AccountSid", self.account.secrets.get("account_sid", "")),
            ("From", self.caller.number),
            ("To", self.account.address),
            ("Direction", "inbound"),
            ("ForwardedFrom", ""),
            ("ApiVersion", "2010-04-01"),
            *fields.items(),
        ]
        return self._signed(target, params)

    def recording(self) -> dict[str, str]:
        """Return what names a new recording."""
        sid = "RE" + uuid4().hex
        return {
            "RecordingSid": sid,
            "RecordingUrl": f"{self.public_url}/dev/providers{self._api}/Recordings/{sid}",
            "RecordingDuration": "7",
        }

    @property
    def _api(self) -> str:
        account = self.account.secrets.get("account_sid", "")
        return f"/{self.account.provider}/2010-04-01/Accounts/{account}"

    def after_message(self, record: ET.Element, recording: dict[str, str]) -> Iterator[Webhook]:
        """Give what comes once a message is recorded: neither names the caller."""
        callback = self.target(record.attrib["recordingStatusCallback"])
        params = [("CallSid", self.sid), ("RecordingStatus", "completed"), *recording.items()]
        yield self._signed(callback, params)
        if callback := record.attrib.get("transcribeCallback", ""):
            params = [
                ("CallSid", self.sid),
                ("TranscriptionSid", "TR" + uuid4().hex),
                ("TranscriptionStatus", "completed"),
                ("TranscriptionText", self.caller.says),
                *recording.items(),
            ]
            yield self._signed(self.target(callback), params)

    def ended(self) -> Webhook:
        """Return the status callback that says the call is over."""
        now = datetime.now(UTC)
        return self.post(
            path(self.account),
            CallStatus="completed",
            CallbackSource="call-progress-events",
            SequenceNumber="3",
            CallDuration=str(int((now - self.started).total_seconds())),
            Timestamp=format_datetime(now),
        )

    def _signed(self, target: str, params: list[tuple[str, str]]) -> Webhook:
        signature = twilio_signature(self.account.secrets["auth_token"], self.public_url + target, params)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return Webhook(target, headers, urlencode(params).encode())
