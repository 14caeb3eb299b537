"""Builds the requests that providers and the chat widget make, signed as they sign them."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from time import time
from typing import Any
from urllib.parse import quote, urlencode

from deploy.local.signing import meta_signature, twilio_signature
from services.chassis.accounts import Account

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Webhook:
    """One POST: to `path` of the stack."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    proof: str = "Authorization"
    """The header that proves it, where the body is not signed."""
    counterfeit: bytes = b""
    """The body of a forged one, where any change but one of what is signed would go unseen."""

    def forged(self) -> "Webhook":
        """Return it with a body other than the signed one, or another token where nothing is signed."""
        if self.proof in self.headers:
            return replace(self, headers={**self.headers, self.proof: "Bearer forged"})
        if self.counterfeit:
            return replace(self, body=self.counterfeit)
        return replace(self, body=self.body + (b"&Forged=1" if b"=" in self.body[:20] else b" "))

    def curl(self, base: str) -> str:
        """Return a command that makes the same request to `base`, for a POSIX shell."""
        parts = ["curl -i -X POST", shlex.quote(base + self.path)]
        parts += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in self.headers.items()]
        parts.append(f"--data-raw {shlex.quote(self.body.decode())}")
        return " \\\n  ".join(parts)


def path(account: Account, *more: str) -> str:
    """Return where an account's webhooks arrive."""
    return "/".join(("/ingest/v1", account.provider, quote(account.account), *more))


def sms(
    account: Account, public_url: str, sender: str, text: str, sid: str, pictures: Sequence[str] = ()
) -> Webhook:
    """Return an incoming SMS, as Twilio posts it, or an MMS with the URLs of its pictures.

    `public_url` is the base of the signed URL.
    """
    params = [
        ("ToCountry", "US"),
        ("ToState", ""),
        ("SmsMessageSid", sid),
        ("NumMedia", str(len(pictures))),
        ("ToCity", ""),
        ("FromZip", ""),
        ("SmsSid", sid),
        ("FromState", ""),
        ("SmsStatus", "received"),
        ("FromCity", ""),
        ("Body", text),
        ("FromCountry", "US"),
        ("To", account.address),
        ("ToZip", ""),
        ("NumSegments", "1"),
        ("MessageSid", sid),
        ("AccountSid", account.secrets.get("account_sid", "")),
        ("From", sender),
        ("ApiVersion", "2010-04-01"),
    ]
    for number, url in enumerate(pictures):
        params += [(f"MediaUrl{number}", url), (f"MediaContentType{number}", "image/png")]
    return _twilio(account, public_url, params)


def heard(account: Account, sender: str, text: str) -> Webhook:
    """Return what lets the simulated Twilio hear an SMS, as the network does: it keeps its own blocklist."""
    body = json.dumps({"sender": sender, "to": account.address, "text": text}).encode()
    return Webhook(f"/dev/providers/{account.provider}/heard", {"Content-Type": "application/json"}, body)


def sms_status(account: Account, public_url: str, to: str, sid: str, status: str) -> Webhook:
    """Return a status callback of Twilio's on the message `sid`."""
    params = [("MessageSid", sid), ("MessageStatus", status), ("To", to), ("From", account.address)]
    return _twilio(account, public_url, params)


def _twilio(account: Account, public_url: str, params: Sequence[tuple[str, str]]) -> Webhook:
    signature = twilio_signature(account.secrets["auth_token"], public_url + path(account), params)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
    return Webhook(path(account), headers, urlencode(params).encode())


@dataclass(frozen=True, slots=True)
class WhatsAppSender:
    """A user: with a number (E.164), or with a business-scoped id (`NL.111`) alone."""

    address: str
    name: str = ""

    def contact(self) -> Json:
        """Return the element of `contacts`."""
        return {
            "profile": {"name": self.name or "Someone"},
            self._key("wa_id", "user_id"): self.address.lstrip("+"),
        }

    def author(self) -> Json:
        """Return the fields of a message that name its author."""
        return {self._key("from", "from_user_id"): self.address.lstrip("+")}

    def _key(self, of_number: str, of_user_id: str) -> str:
        return of_number if self.address.lstrip("+").isdecimal() else of_user_id


def whatsapp(
    account: Account, sender: WhatsAppSender, content: Json, message_id: str, at: datetime
) -> Webhook:
    """Return an incoming WhatsApp message; `content` holds `type` and what belongs to it."""
    message = {"id": message_id, "timestamp": str(int(at.timestamp())), **sender.author(), **content}
    return whatsapp_value(account, {"contacts": [sender.contact()], "messages": [message]})


def whatsapp_value(account: Account, content: Json) -> Webhook:
    """Return a webhook of the Cloud API with `content`: `contacts`, `messages`, `statuses`."""
    metadata = {"display_phone_number": "15550001111", "phone_number_id": account.address}
    value = {"messaging_product": "whatsapp", "metadata": metadata, **content}
    entry = {"id": "WABA-1", "changes": [{"field": "messages", "value": value}]}
    return whatsapp_body(
        account, json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    )


def whatsapp_body(account: Account, body: bytes) -> Webhook:
    """Return any bytes, signed as Meta signs them."""
    signature = meta_signature(account.secrets["app_secret"], body)
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
    return Webhook(path(account), headers, body)


_META_OBJECTS = {"messenger": "page", "instagram": "instagram"}


def messaging(account: Account, events: Sequence[Json]) -> Webhook:
    """Return events of Messenger or Instagram; each names its sender and recipient."""
    entry = {"id": account.address, "time": int(time() * 1000), "messaging": list(events)}
    document = {"object": _META_OBJECTS[account.provider], "entry": [entry]}
    return whatsapp_body(account, json.dumps(document).encode())


def direct_message(account: Account, sender: str, text: str, mid: str, at: datetime) -> Webhook:
    """Return what a person with this id writes to a page or an Instagram account of ours."""
    message = {"mid": mid, "text": text}
    people = {"sender": {"id": sender}, "recipient": {"id": account.address}}
    return messaging(account, [{**people, "timestamp": int(at.timestamp() * 1000), "message": message}])


@dataclass(frozen=True, slots=True)
class Mail:
    """What a mail says. `more` are further headers."""

    sender: str
    subject: str
    text: str
    message_id: str
    in_reply_to: str = ""
    references: str = ""
    more: Mapping[str, str] | None = None


def email(account: Account, mail: Mail, at: datetime) -> Webhook:
    """Return a mail, as a relay of ours posts it: RFC 5322 with a bearer token."""
    message = EmailMessage()
    headers = {
        "From": mail.sender,
        "To": account.address,
        "Subject": mail.subject,
        "Date": format_datetime(at),
        "Message-ID": mail.message_id,
        "In-Reply-To": mail.in_reply_to,
        "References": mail.references,
        **(mail.more or {}),
    }
    for name, value in headers.items():
        if value:
            message[name] = value
    message.set_content(mail.text, cte="quoted-printable")
    bearer = {"Authorization": f"Bearer {account.secrets.get('token', '')}", "Content-Type": "message/rfc822"}
    return Webhook(path(account), bearer, message.as_bytes())


def chat_session(account: Account, claims: Json) -> Webhook:
    """Return the opening of the widget; its answer holds `visitor_id` and `token`."""
    return Webhook(
        path(account, "sessions"), {"Content-Type": "application/json"}, json.dumps(claims).encode()
    )


def chat_message(
    account: Account, token: str, text: str, client_id: str, attachments: Sequence[str] = ()
) -> Webhook:
    """Return what a visitor writes; `attachments` are ids of what they uploaded."""
    content = {"client_id": client_id, "text": text, "attachments": [{"id": each} for each in attachments]}
    return chat_sign(account, token, "messages", content)


def chat_sign(account: Account, token: str, what: str, content: Json) -> Webhook:
    """Return anything else that a visitor's browser tells: `typing`, `read`."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return Webhook(path(account, what), headers, json.dumps(content).encode())


def chat_upload(account: Account, token: str, data: bytes, content_type: str) -> Webhook:
    """Return a visitor's file; its answer holds `id`."""
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {token}"}
    return Webhook(path(account, "attachments"), headers, data)
