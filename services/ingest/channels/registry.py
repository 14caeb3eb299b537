"""Every provider that calls us, one row each."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.ingest.channels import instagram, line, messenger, mime, telegram, twilio_sms, whatsapp
from services.ingest.webhook import Answer, Greet, Parse, Verify

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider's webhooks are taken and answered."""

    name: str
    verify: Verify
    parse: Parse
    limit_bytes: int
    """A larger body is answered 413."""
    forged_status: int
    """What a request that is not the provider's gets."""
    answer: str
    """The body of our 200, where it is always the same."""
    answer_type: str
    answering: Answer | None = None
    """Makes the body of our 200 where it depends on the webhook."""
    greet: Greet | None = None
    """Answers the GET that checks our address."""
    reads_get: bool = False
    """GET may be a webhook too, its parameters in the query."""
    proven_by_headers: bool = False
    """The signature does not cover the body, so a forged one is not even read."""
    slow: bool = False
    """Parsing may take long; it runs beside the event loop."""


PROVIDERS: Mapping[str, Provider] = {
    row.name: row
    for row in (
        Provider(
            name=twilio_sms.PROVIDER,
            verify=twilio_sms.verify,
            parse=twilio_sms.parse,
            limit_bytes=_MB,
            forged_status=403,
            answer="<Response/>",  # any other text would go out as an SMS
            answer_type="text/xml",
            reads_get=True,
        ),
        Provider(
            name=whatsapp.PROVIDER,
            verify=whatsapp.verify,
            parse=whatsapp.parse,
            limit_bytes=4 * _MB,
            forged_status=403,
            answer="{}",
            answer_type="application/json",
            greet=whatsapp.handshake,
        ),
        Provider(
            name=messenger.PROVIDER,
            verify=messenger.verify,
            parse=messenger.parse,
            limit_bytes=4 * _MB,
            forged_status=403,
            answer="{}",
            answer_type="application/json",
            greet=messenger.handshake,
        ),
        Provider(
            name=instagram.PROVIDER,
            verify=instagram.verify,
            parse=instagram.parse,
            limit_bytes=4 * _MB,
            forged_status=403,
            answer="{}",
            answer_type="application/json",
            greet=instagram.handshake,
        ),
        Provider(
            name=mime.PROVIDER,
            verify=mime.verify,
            parse=mime.parse,
            limit_bytes=40 * _MB,
            forged_status=401,
            answer="{}",
            answer_type="application/json",
            proven_by_headers=True,
            slow=True,
        ),
        Provider(
            name=telegram.PROVIDER,
            verify=telegram.verify,
            parse=telegram.parse,
            limit_bytes=_MB,
            forged_status=401,
            answer="{}",
            answer_type="application/json",
            answering=telegram.answer,
            proven_by_headers=True,
        ),
        Provider(
            name=line.PROVIDER,
            verify=line.verify,
            parse=line.parse,
            limit_bytes=_MB,
            forged_status=401,
            answer="{}",
            answer_type="application/json",
        ),
    )
}
