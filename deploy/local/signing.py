"""Signatures as the providers make them.

Written from the providers' documents and checked against their vectors; the services verify with
code of their own, so that each tests the other.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
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


class SnsSigner:
    """Signs notifications as Amazon SNS does, with a key and certificate made for one run."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def name(self) -> str:
        """File name of the certificate, without its ending."""
        return "SimpleNotificationService-" + hashlib.sha256(self.certificate).hexdigest()[:32]

    @cached_property
    def certificate(self) -> bytes:
        """The certificate as PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
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
