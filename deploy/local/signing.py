"""Signatures as the providers make them.

Written from the providers' documents and checked against their vectors; the services verify with
code of their own, so that each tests the other.
"""

import base64
import hashlib
import hmac
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID


def twilio_signature(auth_token: str, url: str, params: Iterable[tuple[str, str]]) -> str:
    """Return `X-Twilio-Signature` of a form post to `url`.

    The signed text is the URL followed by name and value of each distinct parameter, sorted by
    name, then value (twilio-python, request_validator.py).
    """
    text = url + "".join(name + value for name, value in sorted(set(params)))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def meta_signature(app_secret: str, body: bytes) -> str:
    """Return `X-Hub-Signature-256` of the bytes of `body` (Graph API, "Getting started" on webhooks)."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def sendgrid_signature(account: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a webhook: ECDSA over timestamp and body, by the demo key of that name."""
    return base64.b64encode(
        _sendgrid_key(account).sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    ).decode()


def sendgrid_public_key(account: str) -> str:
    """Return the `public_key` of the demo account of that name, as SendGrid shows it."""
    public = _sendgrid_key(account).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def _sendgrid_key(account: str) -> ec.EllipticCurvePrivateKey:
    """Return a key that follows from the name: it protects nothing, and needs to be kept nowhere."""
    seed = hashlib.sha256(f"{account}-sendgrid-signing-key".encode()).digest()
    return ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())


def mailgun_signature(signing_key: str, timestamp: str, token: str) -> str:
    """Return hex(HMAC-SHA256(signing_key, timestamp + token))."""
    return hmac.new(signing_key.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()


_EXPONENT = 65537
_PRIME_BITS = 1024


def _prime(chosen: random.Random) -> int:
    """Return a prime by the test of Miller and Rabin."""
    while True:
        number = chosen.getrandbits(_PRIME_BITS) | 3 << (_PRIME_BITS - 2) | 1
        if all(number % small for small in _SMALL) and all(_is_witness(base, number) for base in _SMALL[:20]):
            return number


_SMALL = [
    3,
    *(each for each in range(5, 2000, 2) if all(each % other for other in range(3, 45, 2) if other < each)),
]


def _is_witness(base: int, number: int) -> bool:
    """Tell whether `base` speaks for `number` being a prime."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    return any((power := power * power % number) == number - 1 for _ in range(twos - 1))


class SnsSigner:
    """Signs notifications as Amazon SNS does.

    Key and certificate are the same in every process: they protect nothing, and need to be kept nowhere.
    """

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        chosen = random.Random("demo-sns-signing-key")  # noqa: S311  (the same every time, on purpose)
        p, q = _prime(chosen), _prime(chosen)
        d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
        public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
        return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()

    @cached_property
    def name(self) -> str:
        """File name of the certificate, without its ending."""
        return "SimpleNotificationService-" + hashlib.sha256(self.certificate).hexdigest()[:32]

    @cached_property
    def certificate(self) -> bytes:
        """The certificate as PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2056, 1, 1, tzinfo=UTC))
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    def notification(self, topic: str, message: str, at: str) -> dict[str, str]:
        """Return a signed notification of `topic` (signature version 2)."""
        region = topic.split(":")[3]
        document = {
            "Message": message,
            "MessageId": str(uuid4()),
            "Timestamp": at,
            "TopicArn": topic,
            "Type": "Notification",
        }
        text = "".join(f"{name}\n{value}\n" for name, value in document.items())
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return {
            **document,
            "SignatureVersion": "2",
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": f"https://sns.{region}.amazonaws.com/{self.name}.pem",
        }


def line_signature(channel_secret: str, body: bytes) -> str:
    """Return `x-line-signature` of the bytes of `body` (Messaging API, "Signature validation")."""
    return base64.b64encode(hmac.new(channel_secret.encode(), body, hashlib.sha256).digest()).decode()


SNS = SnsSigner()
