"""Every provider we send through, one row each."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from services.notifier.channels import (
    checks,
    instagram,
    line,
    mailgun,
    messenger,
    mime,
    postmark,
    sendgrid,
    ses,
    telegram,
    twilio_sms,
    webchat,
    whatsapp,
)
from services.notifier.channels.checks import Check
from services.notifier.channels.sending import REFUSALS, RateLimit, RefusalKind, Send


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
    kinds: Mapping[RefusalKind, Container[int]] = field(default_factory=dict)
    """What its error codes are about, for those that come by a receipt."""
    watermarks: bool = False
    """It says of all messages to a person at once what became of them, up to a moment."""


SENDERS: Mapping[str, Sender] = {
    row.name: row
    for row in (
        Sender(twilio_sms.PROVIDER, twilio_sms.send, kinds=twilio_sms.KINDS, check=checks.twilio),
        Sender(
            whatsapp.PROVIDER,
            whatsapp.send,
            kinds=whatsapp.CODES.kinds,
            limit=whatsapp.LIMIT,
            check=checks.whatsapp,
        ),
        Sender(messenger.PROVIDER, messenger.send, watermarks=True, check=checks.messenger),
        Sender(instagram.PROVIDER, instagram.send, check=checks.instagram),
        Sender(mime.PROVIDER, mime.send),
        Sender(sendgrid.PROVIDER, sendgrid.send, check=checks.sendgrid),
        Sender(mailgun.PROVIDER, mailgun.send, check=checks.mailgun),
        Sender(postmark.PROVIDER, postmark.send, check=checks.postmark),
        Sender(ses.PROVIDER, ses.send),
        Sender(telegram.PROVIDER, telegram.send, limit=telegram.LIMIT, check=checks.telegram),
        Sender(line.PROVIDER, line.send, deduplicates=True, check=checks.line),
        Sender(webchat.PROVIDER, webchat.send, deduplicates=True, watermarks=True),
    )
}

_OTHER_CHECKS: Mapping[str, Check] = {
    "twilio-voice": checks.twilio,
}
"""Of providers that only call us."""
CHECKS: Mapping[str, Check] = {
    **_OTHER_CHECKS,
    **{row.name: row.check for row in SENDERS.values() if row.check is not None},
}


def kind_of(provider: str, code: str | None) -> RefusalKind | None:
    """Return what a provider's error code is about, None where nobody knows.

    Mail's receipts may name it in words: `opted_out`.
    """
    worded = next((kind for kind in REFUSALS if kind == code), None)
    if worded is not None:
        return worded
    sender = SENDERS.get(provider)
    if sender is None or code is None or not (code.isascii() and code.isdigit()):
        return None
    return next((kind for kind, codes in sender.kinds.items() if int(code) in codes), None)
