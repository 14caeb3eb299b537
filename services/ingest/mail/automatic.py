"""Mail that no person wrote: told by its headers (RFC 3834, and the habits of mail programs)."""

import re
from dataclasses import dataclass
from uuid import UUID

from services.ingest.mail.headers import Headers
from services.ingest.mail.message import Mail, Part, content, held_by

_COMMENT = re.compile(r"\([^()]*\)")
_BULK = frozenset({"bulk", "junk", "list", "auto_reply"})
_LISTS = ("list-id", "list-unsubscribe", "x-loop", "x-autorespond")
_SAYS_SO = re.compile(
    r"(automatic reply|auto(matic)?[ -]?(reply|response)|out of (the )?office|automatische antwort|"
    r"abwesenheits(notiz|nachricht)|r\u00e9ponse automatique|absence du bureau|respuesta autom\u00e1tica|"
    r"risposta automatica|fuori sede|automatisch antwoord|afwezigheid\w*|autosvar|automatiskt svar|"
    r"odpowied\u017a automatyczna|resposta autom\u00e1tica)\s*:",
    re.IGNORECASE,
)
"""How mail programs begin the subject of an answer that nobody wrote."""
_ROBOTS = re.compile(r"(mailer-daemon|postmaster|no-?reply|do-?not-?reply)(\+[^@]*)?@", re.IGNORECASE)
_OURS = re.compile(r"<([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})@[^<>\s]+>")
_FIELD = re.compile(r"^(action|status):\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_REPORT_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class Bounce:
    """A permanent failure of a mail of ours."""

    message_id: UUID
    """Ours, from the Message-ID that notifier gave the mail."""
    provider_message_id: str
    code: str
    """Enhanced status code (RFC 3463), as in `5.1.1`."""


def is_automatic(mail: Mail, sender: str) -> bool:
    """Tell whether the mail is recorded but never answered."""
    headers = mail.headers
    return (
        _auto_submitted(headers)
        or mail.content_type == "multipart/report"
        or ("return-path" in headers and headers.raw("return-path").replace(" ", "") == "<>")
        or headers.raw("x-autoreply").strip().lower() == "yes"
        or headers.raw("precedence").strip().lower() in _BULK
        or any(name in headers for name in _LISTS)
        or (_is_answer(headers) and _SAYS_SO.match(headers.text("subject")) is not None)
        or _ROBOTS.match(sender) is not None
    )


def _is_answer(headers: Headers) -> bool:
    """A person may begin a mail with such a subject, but not an answer to ours."""
    return any(name in headers for name in ("in-reply-to", "references", "x-auto-response-suppress"))


def _auto_submitted(headers: Headers) -> bool:
    if "auto-submitted" not in headers:
        return False
    word = _COMMENT.sub("", headers.raw("auto-submitted")).partition(";")[0]
    return word.strip().lower() != "no"


def bounce(mail: Mail) -> Bounce | None:
    """Return what a delivery status notification (RFC 3464) says of a mail of ours, if it failed for good."""
    if mail.content_type != "multipart/report":
        return None
    texts = [_shown(part)[:_REPORT_CHARACTERS] for part in mail.report]
    fields = {name.lower(): value for text in texts for name, value in _FIELD.findall(text)}
    ours = next((found for text in texts for found in _OURS.finditer(text)), None)
    code = fields.get("status", "")
    if ours is None or fields.get("action", "").lower() != "failed" or not code.startswith("5."):
        return None
    return Bounce(UUID(ours[1]), ours[0], code)


def _shown(part: Part) -> str:
    """Return a report's part as text: its own, or the headers of the mails it holds."""
    held = held_by(part)
    if not held:
        return content(part)[:_REPORT_CHARACTERS].decode("utf-8", "replace")
    return "\n".join(f"{name}: {value}" for each in held[:10] for name, value in each.raw_items())
