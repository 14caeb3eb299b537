"""Our own web chat widget: what a visitor's browser posts, under the visitor's token.

Dedup key: (visitor, `client_id`), since the browser repeats a post it got no answer to. The
visitor's id and what the site signed are verified; what the visitor typed into a form is not.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from schemas.common import Attachment, DeliveryStatus, Identifier, IdentifierKind
from schemas.ids import derive
from schemas.signals import VisitorTyping, VisitorTypingData, VisitorTypingPersonal
from services.chassis.accounts import Account
from services.chassis.identifiers import InvalidIdentifier, identifier
from services.chassis.text import clean
from services.ingest.channels.items import Said, covered, received
from services.ingest.webhook import Arrival, Received, Reported

PROVIDER = "webchat"
_LEEWAY_SECONDS = 30


def _any_text(value: object) -> str:
    """Take any text: pydantic's own str refuses lone surrogates, which people can type."""
    if not isinstance(value, str):
        message = "must be a string"
        raise ValueError(message)  # noqa: TRY004  (pydantic turns ValueError into a field error)
    return value


def _not_blank(value: str) -> str:
    if not clean(value).strip():
        message = "must not be empty"
        raise ValueError(message)
    return value


def _short(value: str) -> str:
    if len(value) > 255:  # noqa: PLR2004  (the limit the message names)
        message = "must have at most 255 characters"
        raise ValueError(message)
    return clean(value).strip()


AnyText = Annotated[str, PlainValidator(_any_text), WithJsonSchema({"type": "string"})]
Short = Annotated[AnyText, AfterValidator(_short)]


def _upload_id(value: object) -> object:
    """Take an id alone for `{"id": …}`."""
    return {"id": value} if isinstance(value, str) else value


class Upload(BaseModel):
    """A file that was uploaded before, by its id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID


Uploaded = Annotated[Upload, BeforeValidator(_upload_id)]


class ChatMessage(BaseModel):
    """What a visitor posts. `client_id` is the browser's own id of the message."""

    model_config = ConfigDict(extra="ignore")

    client_id: Annotated[Short, AfterValidator(_not_blank)]
    attachments: Annotated[tuple[Uploaded, ...], Field(max_length=10)] = ()
    """What the visitor uploaded before. Text may be left out beside it."""
    text: Annotated[AnyText, Field(validate_default=True)] = ""

    @field_validator("text")
    @classmethod
    def _says_something(cls, text: str, info: ValidationInfo) -> str:
        return text if info.data.get("attachments") else _not_blank(text)


class Typing(BaseModel):
    """That the visitor types, or has stopped."""

    model_config = ConfigDict(extra="ignore")

    typing: bool = True


class Read(BaseModel):
    """That the visitor has read all we wrote up to a moment (RFC 3339), up to now if none is given."""

    model_config = ConfigDict(extra="ignore")

    up_to: AwareDatetime | None = None


class SessionRequest(BaseModel):
    """What starts a visitor's session: the site's word, or the visitor's own."""

    model_config = ConfigDict(extra="ignore")

    identity_token: Annotated[AnyText, Field(max_length=8192)] | None = None
    name: Short | None = None
    email: Short | None = None


class BadIdentityToken(ValueError):  # noqa: N818  (the token is bad)
    """The identity token is not signed by the site, expired, or says nothing of use."""


def verified_identity(token: str, account: Account) -> tuple[Identifier, ...]:
    """Return what the site vouches for in `token`, a JWT (HS256) signed with `identity_secret`.

    Claims: `exp`; `external_id`, or `user_id`, or `sub`; optionally `email`. Raises BadIdentityToken.
    """
    claims = _claims(token, account.valid("identity_secret"))
    source = account.source or account.account
    user = next((claims[name] for name in ("external_id", "user_id", "sub") if claims.get(name)), None)
    found = []
    try:
        if user is not None:
            found.append(identifier(f"external:{source}", str(user), verified=True))
        if email := claims.get("email"):
            found.append(identifier("email", str(email), verified=True))
    except InvalidIdentifier as error:
        message = f"identity_token: {error}"
        raise BadIdentityToken(message) from None
    if not found:
        message = "identity_token names neither a user nor an email"
        raise BadIdentityToken(message)
    return tuple(found)


def _claims(token: str, secrets: Sequence[str]) -> Mapping[str, Any]:
    if not secrets:
        message = "this widget has no identity_secret, so no identity can be proven"
        raise BadIdentityToken(message)
    for secret in secrets:
        try:
            claims = jwt.decode(token, OctKey.import_key(secret.encode()), algorithms=["HS256"]).claims
            jwt.JWTClaimsRegistry(leeway=_LEEWAY_SECONDS, exp={"essential": True}).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        return claims if isinstance(claims, dict) else {}
    message = "identity_token is malformed, expired, or not signed with this widget's identity_secret"
    raise BadIdentityToken(message)


def message(
    posted: ChatMessage,
    visitor_id: str,
    known: Sequence[Identifier],
    name: str | None,
    arrival: Arrival,
    attachments: tuple[Attachment, ...] = (),
    claimed: str | None = None,
) -> Received:
    """Return the visitor's message; `known` are the verified identifiers of the session.

    `claimed` is the mail address that the visitor typed: told as unverified, if it is one.
    """
    names = ", ".join(each.filename or "file" for each in attachments)
    text = posted.text if clean(posted.text).strip() else f"[{names}]"
    visitor = Identifier(kind=IdentifierKind.VISITOR, value=visitor_id, verified=True)
    return received(
        arrival,
        arrival.account,
        Said(text, "media" if attachments else "text", attachments),
        dedup=posted.client_id,
        provider_message_id=posted.client_id,
        identifiers=[visitor, *known, *_claimed(claimed, known)],
        key=visitor_id,
        name=name,
    )


def _claimed(email: str | None, known: Sequence[Identifier]) -> list[Identifier]:
    if not email:
        return []
    try:
        said = identifier("email", email)
    except InvalidIdentifier:
        return []
    return [] if any((each.kind, each.value) == (said.kind, said.value) for each in known) else [said]


def typing(asked: Typing, visitor_id: str, arrival: Arrival) -> VisitorTyping:
    """Return the signal that the visitor types."""
    return VisitorTyping(
        id=derive("visitor.typing", arrival.correlation),
        occurred_at=arrival.received_at,
        correlation=arrival.correlation,
        data=VisitorTypingData(account=arrival.account.account, typing=asked.typing),
        personal=VisitorTypingPersonal(visitor=visitor_id),
    )


def read(asked: Read, visitor_id: str, arrival: Arrival) -> Reported:
    """Return the word that the visitor has read; never of what is still to come."""
    visitor = Identifier(kind=IdentifierKind.VISITOR, value=visitor_id, verified=True)
    up_to = min(asked.up_to or arrival.received_at, arrival.received_at)
    return covered(arrival, arrival.account, DeliveryStatus.READ, visitor, up_to=up_to)


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a request body that is read by hand."""
    content = {"application/json": {"schema": json.loads(json.dumps(model.model_json_schema()))}}
    return {"requestBody": {"required": True, "content": content}}
