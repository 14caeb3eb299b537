"""Who calls: Agents and services by asymmetric JWT (JWKS), visitors by a token of ours."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
from fastapi import Depends, Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from services.chassis.problems import Problem, unavailable
from services.chassis.settings import Settings

_ALGORITHMS = ["ES256", "EdDSA", "Ed25519", "RS256", "PS256"]
_VISITORS_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 30
_REFRESH_SECONDS = 300.0
_RETRY_SECONDS = 5.0


class Role(StrEnum):
    """What a caller may do; a later role includes the earlier ones, `service` stands apart."""

    AGENT = "agent"
    LEAD = "lead"
    ADMIN = "admin"
    SERVICE = "service"


_INCLUDES = {
    Role.AGENT: {Role.AGENT},
    Role.LEAD: {Role.AGENT, Role.LEAD},
    Role.ADMIN: {Role.AGENT, Role.LEAD, Role.ADMIN},
    Role.SERVICE: {Role.AGENT, Role.LEAD, Role.SERVICE},
}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller; `subject` is the Agent's id."""

    subject: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Return whether the caller has `role`, by itself or included in another."""
        return any(role in _INCLUDES[own] for own in self.roles)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A chat visitor, as our own token says."""

    account: str
    visitor_id: str


def unauthorized(detail: str) -> Problem:
    """401 with the challenge RFC 6750 asks for."""
    return Problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


class Keys:
    """The issuer's public keys; read again when they are old, or a token names an unknown one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._set: KeySet | None = None
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def current(self) -> KeySet:
        """Return the keys; old ones too while somebody reads them anew."""
        if self._set is not None and (self._age < _REFRESH_SECONDS or self._reading.locked()):
            return self._set
        return await self.newer(_REFRESH_SECONDS)

    async def newer(self, than: float = _RETRY_SECONDS) -> KeySet:
        """Return keys read less than `than` seconds ago. Raises Problem 503 when there are none at all."""
        async with self._reading:
            if self._set is None or self._age > than:
                try:
                    self._set = KeySet.import_key_set(json.loads(await self._read()))
                except (OSError, httpx.HTTPError, ValueError, JoseError) as error:
                    if self._set is None:
                        raise unavailable("the token issuer's key set") from error
                self._read_at = time.monotonic()
            return self._set

    @property
    def _age(self) -> float:
        return time.monotonic() - self._read_at

    async def _read(self) -> str:
        parts = urlsplit(self._url)
        if parts.scheme == "file":
            return await asyncio.to_thread(Path(url2pathname(parts.path)).read_text)
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(self._url)
            answer.raise_for_status()
            return answer.text


class Authenticator:
    """Checks tokens of both kinds."""

    def __init__(self, settings: Settings) -> None:
        self._keys = Keys(settings.jwks_url)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": settings.jwt_issuer},
            aud={"essential": True, "value": settings.jwt_audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self.visitors = VisitorTokens(settings.visitor_token_secret.get_secret_value())

    async def principal(self, token: str) -> Principal:
        """Return who holds `token`. Raises Problem 401."""
        claims = await self._verified(token)
        try:
            self._claims.validate(claims)
            roles = frozenset(Role(role) for role in claims.get("roles", ()) if role in set(Role))
        except (JoseError, TypeError) as error:
            raise unauthorized("the token is expired, or not meant for this service") from error
        return Principal(str(claims["sub"]), roles)

    async def _verified(self, token: str) -> dict[str, Any]:
        for keys in (self._keys.current, self._keys.newer):
            try:
                return jwt.decode(token, await keys(), algorithms=_ALGORITHMS).claims
            except (JoseError, ValueError):
                continue
        raise unauthorized("the token is malformed, or its signature does not verify")


class VisitorTokens:
    """Tokens that ingest gives to chat visitors (JWT, HS256)."""

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret.encode()) if secret else None

    def issue(self, account: str, visitor_id: str, expires_at: datetime) -> str:
        """Return a token for one visitor of one widget."""
        claims = {"sub": visitor_id, "account": account, "use": "visitor", "exp": int(expires_at.timestamp())}
        return jwt.encode({"alg": _VISITORS_ALGORITHM}, claims, self._required())

    def read(self, token: str) -> Visitor:
        """Return the visitor. Raises Problem 401."""
        try:
            claims = jwt.decode(token, self._required(), algorithms=[_VISITORS_ALGORITHM]).claims
            jwt.JWTClaimsRegistry(
                exp={"essential": True}, use={"essential": True, "value": "visitor"}
            ).validate(claims)
            return Visitor(str(claims["account"]), str(claims["sub"]))
        except (JoseError, ValueError, KeyError) as error:
            raise unauthorized("the visitor token is malformed, forged or expired") from error

    def _required(self) -> OctKey:
        if self._key is None:
            raise unavailable("VISITOR_TOKEN_SECRET is not set; the visitor token")
        return self._key


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized("send `Authorization: Bearer <token>`")
    return token.strip()


def authenticator(request: Request) -> Authenticator:
    """Return the service's authenticator (set by `service.build`)."""
    found: Authenticator = request.app.state.authenticator
    return found


def requires(role: Role) -> Callable[[Request], Coroutine[Any, Any, Principal]]:
    """Return a FastAPI dependency that gives the caller, or answers 401 or 403."""

    async def dependency(request: Request) -> Principal:
        caller = await authenticator(request).principal(_bearer(request))
        if not caller.may(role):
            raise Problem(403, "Forbidden", f"this needs the role `{role}`")
        request.state.principal = caller
        return caller

    return dependency


async def visitor(request: Request) -> Visitor:
    """FastAPI dependency: the visitor whose token the request carries, or 401."""
    return authenticator(request).visitors.read(_bearer(request))


async def agent_or_visitor(request: Request) -> Principal | Visitor:
    """FastAPI dependency: an Agent, or the visitor whose token (told by its algorithm) it is; or 401."""
    token = _bearer(request)
    if _algorithm(token) == _VISITORS_ALGORITHM:
        return authenticator(request).visitors.read(token)
    return await requires(Role.AGENT)(request)


def _algorithm(token: str) -> object:
    head = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return None
    return header.get("alg") if isinstance(header, dict) else None


Agent = Annotated[Principal, Depends(requires(Role.AGENT))]
Lead = Annotated[Principal, Depends(requires(Role.LEAD))]
Admin = Annotated[Principal, Depends(requires(Role.ADMIN))]
AVisitor = Annotated[Visitor, Depends(visitor)]
Caller = Annotated[Principal | Visitor, Depends(agent_or_visitor)]
