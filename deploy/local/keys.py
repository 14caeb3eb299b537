"""The keys of one local stack: the issuer of Agents' tokens, and the secret of visitors' tokens.

Made at the first start, kept in `keys.json` of the data directory, readable by its owner only.
"""

import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

VALID = timedelta(hours=12)
_ALGORITHM = "ES256"


class NoStackError(Exception):
    """No stack ever ran on the data directory. The text says how to start one."""


@dataclass(frozen=True, slots=True)
class StackKeys:
    """What signs tokens for one local stack."""

    issuer: ECKey
    visitor_token_secret: str

    @classmethod
    def make(cls) -> Self:
        """Return new keys."""
        return cls(ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True), secrets.token_urlsafe(32))

    @classmethod
    def load(cls, data_dir: Path) -> Self:
        """Read the keys of the stack of `data_dir`; raises NoStackError when it never ran."""
        try:
            stored = json.loads((data_dir / "keys.json").read_text())
        except FileNotFoundError:
            message = f"no stack has run on the data directory {data_dir} yet; start one with: make up"
            raise NoStackError(message) from None
        return cls(ECKey.import_key(stored["issuer"]), stored["visitor_token_secret"])

    @classmethod
    def load_or_make(cls, data_dir: Path) -> Self:
        """Read the keys of the stack of `data_dir`, or make and store them; writes `jwks.json` beside."""
        try:
            keys = cls.load(data_dir)
        except NoStackError:
            keys = cls.make()
            stored = {
                "issuer": keys.issuer.as_dict(private=True),
                "visitor_token_secret": keys.visitor_token_secret,
            }
            _write(data_dir / "keys.json", json.dumps(stored), 0o600)
        _write(data_dir / "jwks.json", json.dumps(keys.jwks()), 0o644)
        return keys

    def secret_for(self, purpose: str) -> str:
        """Return a secret of this stack for one purpose alone."""
        return hmac.digest(self.visitor_token_secret.encode(), purpose.encode(), "sha256").hex()

    def jwks(self) -> dict[str, Any]:
        """Return the public key set (RFC 7517)."""
        return dict(KeySet([self.issuer]).as_dict(private=False))

    def token(self, subject: str, roles: Iterable[str], now: datetime, valid: timedelta = VALID) -> str:
        """Return a signed token for `subject`, valid from `now`."""
        header = {"alg": _ALGORITHM, "kid": self.issuer.kid, "typ": "JWT"}
        issued = int(now.timestamp())
        claims = {
            "iss": os.environ.get("JWT_ISSUER", "parley"),
            "aud": os.environ.get("JWT_AUDIENCE", "parley"),
            "sub": subject,
            "roles": list(roles),
            "iat": issued,
            "exp": issued + int(valid.total_seconds()),
        }
        return jwt.encode(header, claims, self.issuer)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    fresh.replace(path)
