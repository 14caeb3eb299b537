"""Every provider we send through, one row each."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.notifier.channels import line, mime, telegram, twilio_sms, webchat, whatsapp
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


SENDERS: Mapping[str, Sender] = {
    row.name: row
    for row in (
        Sender(twilio_sms.PROVIDER, twilio_sms.send),
        Sender(whatsapp.PROVIDER, whatsapp.send, limit=whatsapp.LIMIT),
        Sender(mime.PROVIDER, mime.send),
        Sender(telegram.PROVIDER, telegram.send),
        Sender(line.PROVIDER, line.send, deduplicates=True),
        Sender(webchat.PROVIDER, webchat.send, deduplicates=True),
    )
}
