"""Twilio Programmable Messaging: https://www.twilio.com/docs/messaging/api/message-resource.

Twilio does not deduplicate. Our message id goes into the status callback's URL, so a report is
ours to match even when the answer to the request was lost. Codes:
https://www.twilio.com/docs/api/errors.
"""

import json
from urllib.parse import quote

import httpx

from schemas.common import IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.sending import (
    Means,
    RefusalKind,
    Retry,
    Sent,
    base_url,
    document,
    post,
    refused,
    retry_after,
    secret,
    unexplained,
)

PROVIDER = "twilio-sms"
_BASE = "https://api.twilio.com"
_VERSION = "2010-04-01"
_SLOW_DOWN = frozenset({20429, 30022, 63018, 14107, 30001})
_TRANSIENT = frozenset({20500, 20503})
KINDS: dict[RefusalKind, frozenset[int]] = {
    "opted_out": frozenset({21610, 63014}),
    "outside_window": frozenset({63016, 63051}),
    "invalid_recipient": frozenset(
        {21211, 21214, 21217, 21265, 21401, 21407, 21612, 21614, 30003, 30004, 30005, 30006, 63003, 63024}
    ),
    "account_broken": frozenset(
        {10001, 20003, 20005, 20006, 20404, 21408, 21603, 21606, 21608, 21659, 21660, 21661, 30002, 63007}
    ),
}


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by POST Messages.json; see Send."""
    sid = secret(account, "account_sid")
    answer = await post(
        means.client,
        f"{base_url(account, _BASE)}/{_VERSION}/Accounts/{quote(sid, safe='')}/Messages.json",
        auth=httpx.BasicAuth(sid, secret(account, "auth_token")),
        data=_form(account, message, means),
    )
    provider_message_id = document(answer).get("sid")
    if answer.is_success and isinstance(provider_message_id, str) and provider_message_id:
        return Sent(provider_message_id)
    raise _meaning(answer)


def _form(account: Account, message: MessageSend, means: Means) -> dict[str, str | list[str]]:
    to = message.personal.to
    prefix = "whatsapp:" if to.kind is IdentifierKind.WHATSAPP else ""
    plus = "+" if prefix and to.value.isdigit() else ""
    form: dict[str, str | list[str]] = {
        "To": f"{prefix}{plus}{to.value}",
        "From": f"{prefix}{account.address}",
        **_content(account, message),
    }
    if media := [means.files.link(each) for each in message.personal.attachments]:
        form["MediaUrl"] = media
    if means.callback:
        separator = "&" if "?" in means.callback else "?"
        form["StatusCallback"] = f"{means.callback}{separator}message_id={message.data.message_id}"
    return form


def _content(account: Account, message: MessageSend) -> dict[str, str]:
    """Return the text, or the content it stands for; without its id Twilio knows a template by its words."""
    use = message.personal.template
    template = account.template(use.name, use.language) if use else None
    if use is None or template is None or template.content_sid is None:
        return {"Body": message.personal.text}
    variables = {str(number): value for number, value in enumerate(use.parameters, start=1)}
    return {"ContentSid": template.content_sid, "ContentVariables": json.dumps(variables)}


def _meaning(answer: httpx.Response) -> Exception:
    code = document(answer).get("code")
    if answer.is_success or not isinstance(code, int) or isinstance(code, bool):
        return unexplained(answer)
    throttled = code in _SLOW_DOWN or answer.status_code in (429, 503)
    if throttled or code in _TRANSIENT:
        return Retry(retry_after(answer), str(code), whole_account=throttled)
    if answer.is_server_error:
        return unexplained(answer)
    kind = next((kind for kind, codes in KINDS.items() if code in codes), None)
    if kind is None:
        kind = "account_broken" if answer.status_code in (401, 403) else "rejected"
    return refused(code, kind)
