"""Every provider that calls us, one row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.chassis.accounts import Account
from services.ingest.channels import (
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
    twilio_voice,
    whatsapp,
)
from services.ingest.webhook import Answer, Greet, Nonce, Parse, Verify, Webhook

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
    challenge: str = "Bearer"
    """Scheme that a 401 asks for (RFC 9110, 11.6.1)."""
    nonce: Callable[[Webhook], Nonce | None] | None = None
    """What a signature that does not cover the body is good for only once; None for an unusable one."""
    certificate_url: Callable[[Webhook, Account], str | None] | None = None
    """Where the certificate is that the request is signed with; None for one that is not worth asking."""
    confirmation_url: Callable[[Webhook], str | None] | None = None
    """What is to be asked for a verified request to be agreed to."""

    @property
    def needs_proofs(self) -> bool:
        """The request alone does not prove itself."""
        return self.nonce is not None or self.certificate_url is not None


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
            name=twilio_voice.PROVIDER,
            verify=twilio_voice.verify,
            parse=twilio_voice.parse,
            limit_bytes=_MB,
            forged_status=403,
            answer="<Response/>",
            answer_type="text/xml",
            answering=twilio_voice.answer,
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
            name=sendgrid.PROVIDER,
            verify=sendgrid.verify,
            parse=sendgrid.parse,
            limit_bytes=40 * _MB,
            forged_status=403,
            answer="{}",
            answer_type="application/json",
            slow=True,
        ),
        Provider(
            name=mailgun.PROVIDER,
            verify=mailgun.verify,
            parse=mailgun.parse,
            limit_bytes=40 * _MB,
            forged_status=406,  # whatever else is tried again for hours
            answer="{}",
            answer_type="application/json",
            slow=True,
            nonce=mailgun.nonce,
        ),
        Provider(
            name=postmark.PROVIDER,
            verify=postmark.verify,
            parse=postmark.parse,
            limit_bytes=40 * _MB,
            forged_status=401,  # 403 would end all redelivery, during a rotation too
            answer="{}",
            answer_type="application/json",
            proven_by_headers=True,
            slow=True,
            challenge="Basic",
        ),
        Provider(
            name=ses.PROVIDER,
            verify=ses.verify,
            parse=ses.parse,
            limit_bytes=_MB,  # SNS carries at most 256 kB
            forged_status=403,
            answer="{}",
            answer_type="application/json",
            slow=True,
            certificate_url=ses.certificate_url,
            confirmation_url=ses.confirmation_url,
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
