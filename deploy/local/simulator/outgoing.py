"""What the simulated mail providers have in common: a mail as it was handed over, and what becomes of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from starlette.responses import JSONResponse, Response

from deploy.local.simulator.answers import NoAnswer, spoilt
from deploy.local.simulator.behaviour import Behaviours, Mode
from deploy.local.simulator.callbacks import Callback, Callbacks
from deploy.local.simulator.sent import Sent
from services.chassis.accounts import Account

_TOLD = ("Subject", "In-Reply-To", "References", "Auto-Submitted", "Reply-To", "Message-ID")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One mail that a provider was asked to send."""

    to: str
    text: str
    ours: str
    """Our own id, as the provider carries it along."""
    headers: dict[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()

    @classmethod
    def of_mime(cls, raw: bytes, to: str, ours: str) -> "Outgoing":
        """Read a whole mail."""
        mail = cast(EmailMessage, message_from_bytes(raw, policy=cast(Any, default)))
        body = mail.get_body(("plain", "html"))
        text = str(body.get_content()) if body is not None else ""
        headers = {name: str(mail[name]) for name in _TOLD if mail[name]}
        return cls(to, text, ours, headers, [str(part.get_filename()) for part in mail.iter_attachments()])


@dataclass(frozen=True, slots=True)
class Mailer:
    """Takes mails for one provider: as it is told to behave, remembered, with events later."""

    behaviours: Behaviours
    sent: Sent
    callbacks: Callbacks

    def url(self, account: Account) -> str:
        """Return where the account's events go."""
        return f"{self.callbacks.public_url}/ingest/v1/{account.provider}/{account.account}"

    async def take(
        self,
        account: Account,
        mail: Outgoing,
        provider_message_id: str,
        *,
        refusals: dict[Mode, Response],
        accepted: Response,
        events: Callable[[Mode], Iterator[Callback]],
    ) -> Response:
        """Return the provider's answer."""
        mode = await self.behaviours.take(account)
        if mode in refusals:
            return refusals[mode]
        if mode is Mode.HANG:
            return NoAnswer()
        more = {name.lower().replace("-", "_"): value for name, value in mail.headers.items()}
        self.sent.add(
            account,
            to=mail.to,
            text=mail.text,
            provider_message_id=provider_message_id,
            attachments=", ".join(mail.files),
            **more,
        )
        self.callbacks.schedule(list(events(mode)))
        return spoilt(mode) or accepted


def told(status: int, content: object, **headers: str) -> Response:
    """Return an answer in JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(content, status, named)
