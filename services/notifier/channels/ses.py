"""Amazon SES, API v2: POST /v2/email/outbound-emails with the whole mail as bytes (SendEmail, Raw).

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html. SES does not deduplicate, and it
replaces our Message-ID by `<MessageId@…amazonses.com>`, which the Customer's mail program names: a mail is
known by that MessageId. Our id travels as the tag `parley_id`, and as a header for notifications without
tags.
"""

import base64
import json
from typing import Any

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.mail import composed, recipient
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

PROVIDER = "ses"
_SLOW_DOWN = frozenset(
    {"TooManyRequestsException", "ThrottlingException", "Throttling", "LimitExceededException"}
)
_KINDS: dict[RefusalKind, frozenset[str]] = {
    "account_broken": frozenset(
        {
            "AccountSuspendedException",
            "SendingPausedException",
            "MailFromDomainNotVerifiedException",
            "NotFoundException",
            "AccessDeniedException",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "ExpiredTokenException",
        }
    ),
    "rejected": frozenset({"MessageRejected", "BadRequestException"}),
}
_NOT_VERIFIED = "is not verified"


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send by SendEmail; see Send."""
    region = secret(account, "region")
    url = f"{base_url(account, f'https://email.{region}.amazonaws.com')}/v2/email/outbound-emails"
    body = json.dumps(await _body(means, account, message)).encode()
    answer = await post(means.client, url, content=body, headers=_signed(account, region, url, body))
    provider_message_id = document(answer).get("MessageId")
    if answer.is_success and isinstance(provider_message_id, str) and provider_message_id:
        return Sent(provider_message_id)
    raise _meaning(answer)


async def _body(means: Means, account: Account, message: MessageSend) -> dict[str, Any]:
    to = recipient(message)
    ours = str(message.data.message_id)
    mail = f"X-Parley-Id: {ours}\r\n".encode() + await composed(means, account, message)
    body: dict[str, Any] = {
        "FromEmailAddress": account.address,
        "Destination": {"ToAddresses": [to]},
        "Content": {"Raw": {"Data": base64.b64encode(mail).decode()}},
        "EmailTags": [{"Name": "parley_id", "Value": ours}],
    }
    if configuration_set := account.secrets.get("configuration_set"):
        body["ConfigurationSetName"] = configuration_set
    return body


def _signed(account: Account, region: str, url: str, body: bytes) -> dict[str, str]:
    """Return the headers of a request signed with Signature Version 4."""
    credentials = Credentials(
        secret(account, "access_key_id"),
        secret(account, "secret_access_key"),
        account.secrets.get("session_token") or None,
    )
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(credentials, "ses", region).add_auth(request)
    return dict(request.headers.items())


def _meaning(answer: httpx.Response) -> Exception:
    content = document(answer)
    name = answer.headers.get("x-amzn-errortype") or str(content.get("__type") or content.get("code") or "")
    code = name.partition(":")[0].rpartition("#")[2]
    if code in _SLOW_DOWN:
        return Retry(retry_after(answer), code, whole_account=True)
    if answer.is_success or answer.is_server_error or not code:
        return unexplained(answer)
    if code == "MessageRejected" and _NOT_VERIFIED in str(content.get("message", "")):
        return refused(code, "account_broken")
    kind = next((kind for kind, codes in _KINDS.items() if code in codes), None)
    return refused(code, kind) if kind else unexplained(answer)
