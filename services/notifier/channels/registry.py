"""Every provider we send through, one row each."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.notifier.channels import checks, line, mime, telegram, twilio_sms, webchat, whatsapp
from services.notifier.channels.checks import Check
from services.notifier.channels.sending import RateLimit, Send


@dataclass(frozen=True, slots=True)
class Sender:
    """How a provider is sent to."""

    name: str
    send: Send
    deduplicates: bool = False
    """Sending the same message id again is harmless, so a lost answer may be tried again."""
    limit: RateLimit | None = None
    """How often one account may be used, unless it says otherwise itself."""
    check: Check | None = None
    """Asks the provider whether an account works; None: there is nothing to ask."""


SENDERS: Mapping[str, Sender] = {
    row.name: row
    for row in (
        Sender(twilio_sms.PROVIDER, twilio_sms.send, check=checks.twilio),
        Sender(whatsapp.PROVIDER, whatsapp.send, limit=whatsapp.LIMIT, check=checks.whatsapp),
        Sender(mime.PROVIDER, mime.send),
        Sender(telegram.PROVIDER, telegram.send, limit=telegram.LIMIT, check=checks.telegram),
        Sender(line.PROVIDER, line.send, deduplicates=True, check=checks.line),
        Sender(webchat.PROVIDER, webchat.send, deduplicates=True),
    )
}

_OTHER_CHECKS: Mapping[str, Check] = {
    "twilio-voice": checks.twilio,
    "messenger": checks.messenger,
    "instagram": checks.instagram,
    "sendgrid": checks.sendgrid,
    "mailgun": checks.mailgun,
    "postmark": checks.postmark,
}
"""Of providers whose row above names none."""
CHECKS: Mapping[str, Check] = {
    **_OTHER_CHECKS,
    **{row.name: row.check for row in SENDERS.values() if row.check is not None},
}
