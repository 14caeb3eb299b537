"""By what a Customer is known: the one place that says when two spellings are the same identifier."""

import re
import unicodedata
from functools import lru_cache

import phonenumbers

from schemas.common import Identifier, IdentifierKind
from services.chassis.text import clean

_ALIASES = {"sms": IdentifierKind.PHONE, "voice": IdentifierKind.PHONE}
_EMAIL = re.compile(
    r"(?P<local>[^\s<>\x00-\x1f\x7f]{1,250})@(?P<domain>[^\s<>@()\[\]\"\\,;:\x00-\x1f\x7f]{1,255})"
)
_WA_ID = re.compile(r"\+?(?P<digits>[0-9]{5,20})")
_BSUID = re.compile(r"[A-Z]{2}(\.ENT)?\.[A-Za-z0-9]{1,128}")
_OPAQUE = re.compile(r"[^\s\x00-\x1f\x7f]{1,255}")
_SOURCE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_EXTERNAL_ID = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
_EXTERNAL = "external:"


class InvalidIdentifier(ValueError):  # noqa: N818  (says what is wrong, as invalid() does)
    """The value is no identifier of its kind. The message never quotes the value."""


def kind_of(kind: str) -> IdentifierKind:
    """Return the kind that `kind` names; `sms` and `voice` mean `phone`, `external:<source>` `external`."""
    if kind.startswith(_EXTERNAL):
        return IdentifierKind.EXTERNAL
    if kind in _ALIASES:
        return _ALIASES[kind]
    try:
        return IdentifierKind(kind)
    except ValueError:
        message = f"unknown kind of identifier; known: {', '.join([*IdentifierKind, *_ALIASES])}"
        raise InvalidIdentifier(message) from None


def normalise(kind: str, value: str, default_region: str = "US") -> str:
    """Return the one spelling under which `value` is stored.

    `phone`: E.164; the number need only be possible, a leading space is read as `+`, a number
    without country is one of `default_region`. `email`: lower-cased in the domain only.
    `whatsapp`: the digits of a wa_id, or a business-scoped user id as it is.
    `external`: `<source>:<id>`, with the source either in the kind (`external:shop`) or in the value.
    Raises InvalidIdentifier.
    """
    known = kind_of(kind)
    if known is IdentifierKind.PHONE:
        return _phone(value, default_region)
    if known is IdentifierKind.EMAIL:
        return _email(value)
    if known is IdentifierKind.WHATSAPP:
        return _whatsapp(value)
    if known is IdentifierKind.EXTERNAL:
        return _external(kind, value)
    return _whole(_OPAQUE, value.strip(), known)


def parse_identifier(text: str, default_region: str = "US", *, verified: bool = False) -> Identifier:
    """Return the identifier written as `<kind>:<value>`, as in `sms:+15551230001` or `external:shop:42`.

    Raises InvalidIdentifier.
    """
    kind, separator, value = text.partition(":")
    if not separator:
        message = "an identifier reads <kind>:<value>"
        raise InvalidIdentifier(message)
    return identifier(kind.strip(), value, default_region, verified=verified)


@lru_cache(maxsize=16_384)
def identifier(kind: str, value: str, default_region: str = "US", *, verified: bool = False) -> Identifier:
    """Return the normalised identifier. Raises InvalidIdentifier."""
    return Identifier(kind=kind_of(kind), value=normalise(kind, value, default_region), verified=verified)


@lru_cache(maxsize=16_384)
def _phone(value: str, region: str) -> str:
    dialled = f"+{value.lstrip()}" if value[:1] == " " and value.lstrip()[:1] != "+" else value
    number = _e164(dialled.strip(), region)
    # a number with zeros where its country dials one first loses one each time it is read
    while (again := _e164(number, region)) != number:
        number = again
    return number


def _e164(dialled: str, region: str) -> str:
    try:
        number = phonenumbers.parse(dialled, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or number.extension or not phonenumbers.is_possible_number(number):
        message = "not a possible phone number"
        raise InvalidIdentifier(message)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _email(value: str) -> str:
    match = _EMAIL.fullmatch(unicodedata.normalize("NFC", value.strip()))
    if match is None or clean(value) != value:
        message = "not an email address"
        raise InvalidIdentifier(message)
    return f"{match['local']}@{match['domain'].lower()}"


def _whatsapp(value: str) -> str:
    stripped = value.strip()
    if digits := _WA_ID.fullmatch(stripped):
        return digits["digits"]
    return _whole(_BSUID, stripped, IdentifierKind.WHATSAPP)


def _external(kind: str, value: str) -> str:
    whole = f"{kind.removeprefix(_EXTERNAL)}:{value}" if kind.startswith(_EXTERNAL) else value
    source, _, name = whole.partition(":")
    _whole(_SOURCE, source, IdentifierKind.EXTERNAL)
    return f"{source}:{_whole(_EXTERNAL_ID, name.strip(), IdentifierKind.EXTERNAL)}"


def _whole(pattern: re.Pattern[str], value: str, kind: IdentifierKind) -> str:
    if pattern.fullmatch(value) is None or clean(value) != value:
        message = f"not an identifier of kind {kind}"
        raise InvalidIdentifier(message)
    return value
