"""Amazon SNS: what a notification's signature covers, and whose certificate it may name.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html. Pure: the certificate is
fetched by certificates.py, which asks only what `certificate_url` allows.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from services.ingest.channels.shapes import text

_HOST = r"sns\.(?P<region>[a-z0-9-]{1,32})\.amazonaws\.com(?P<china>\.cn)?"
_CERTIFICATE = re.compile(rf"https://{_HOST}/[A-Za-z0-9_-]{{1,200}}\.pem", re.ASCII)
_TOPIC = re.compile(
    r"arn:aws(?P<partition>-[a-z-]+)?:sns:(?P<region>[a-z0-9-]{1,32}):\d{12}:[A-Za-z0-9_.-]{1,256}"
)
_SUBJECTS = frozenset({"sns.amazonaws.com", "sns.amazonaws.com.cn"})
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_COVERED = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_HASHES: Mapping[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303  (SNS's own)


def certificate_url(document: Mapping[str, Any]) -> str | None:
    """Return the URL of the signing certificate, if it is one of Amazon's own, else None."""
    url = text(document.get("SigningCertURL"))
    return url if _CERTIFICATE.fullmatch(url) else None


def confirmation_url(document: Mapping[str, Any]) -> str | None:
    """Return the request that confirms the subscription, made of the topic and the token alone.

    The `SubscribeURL` is not called: whoever sends it could make us call anybody.
    """
    topic, token = text(document.get("TopicArn")), text(document.get("Token"))
    found = _TOPIC.fullmatch(topic)
    if found is None or not token or len(token) > 1000:  # noqa: PLR2004  (characters: theirs have 200)
        return None
    end = ".cn" if found["partition"] == "-cn" else ""
    query = urlencode(
        {"Action": "ConfirmSubscription", "Version": "2010-03-31", "TopicArn": topic, "Token": token}
    )
    return f"https://sns.{found['region']}.amazonaws.com{end}/?{query}"


def is_signed(document: Mapping[str, Any], certificate: bytes) -> bool:
    """Tell whether the document bears a signature, of version 1 or 2, by the key of `certificate`."""
    names = _COVERED.get(text(document.get("Type")))
    algorithm = _HASHES.get(text(document.get("SignatureVersion")))
    key = _key(certificate)
    if names is None or algorithm is None or key is None:
        return False
    try:
        signature = base64.b64decode(
            text(document.get("Signature")).encode("ascii", "replace"), validate=True
        )
        key.verify(signature, signed_text(document, names), padding.PKCS1v15(), algorithm)
    except (binascii.Error, InvalidSignature):
        return False
    return True


def signed_text(document: Mapping[str, Any], names: tuple[str, ...]) -> bytes:
    """Return name and value of each field that is there, a line each."""
    lines = (f"{name}\n{text(document[name])}\n" for name in names if document.get(name) is not None)
    return "".join(lines).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=32)
def _key(certificate: bytes) -> rsa.RSAPublicKey | None:
    if not certificate:
        return None
    try:
        read = x509.load_pem_x509_certificate(certificate)
        subjects = {name.value for name in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        key = read.public_key()
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType):
        return None
    return key if isinstance(key, rsa.RSAPublicKey) and subjects & _SUBJECTS else None
