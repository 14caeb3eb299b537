"""Every provider we send through, one row each."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.notifier.channels import (
    line,
    mailgun,
    mime,
    postmark,
    sendgrid,
    ses,
    telegram,
    twilio_sms,
    webchat,
    whatsapp,
)
from services.notifier.channels.sending import Send


@dataclass(frozen=True, slots=True)
class Sender:
    """How a provider is sent to."""

    name: str
    send: Send
    deduplicates: bool = False
    """Sending the same message id again is harmless, so a lost answer may be tried again."""


SENDERS: Mapping[str, Sender] = {
    row.name: row
    for row in (
        Sender(twilio_sms.PROVIDER, twilio_sms.send),
        Sender(whatsapp.PROVIDER, whatsapp.send),
        Sender(mime.PROVIDER, mime.send),
        Sender(sendgrid.PROVIDER, sendgrid.send),
        Sender(mailgun.PROVIDER, mailgun.send),
        Sender(postmark.PROVIDER, postmark.send),
        Sender(ses.PROVIDER, ses.send),
        Sender(telegram.PROVIDER, telegram.send),
        Sender(line.PROVIDER, line.send, deduplicates=True),
        Sender(webchat.PROVIDER, webchat.send, deduplicates=True),
    )
}
