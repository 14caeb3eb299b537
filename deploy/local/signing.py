"""Signatures as the providers make them.

Written from the providers' documents and checked against their vectors; the services verify with
code of their own, so that each tests the other.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable


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


def line_signature(channel_secret: str, body: bytes) -> str:
    """Return `x-line-signature` of the bytes of `body` (Messaging API, "Signature validation")."""
    return base64.b64encode(hmac.new(channel_secret.encode(), body, hashlib.sha256).digest()).decode()
