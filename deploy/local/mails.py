"""Builds the requests with which mail providers hand over a mail, signed as they sign them."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from deploy.local.simulator import mailgun, postmark, sendgrid
from deploy.local.webhooks import Webhook, path
from services.chassis.accounts import Account

PROVIDERS = (sendgrid.PROVIDER, mailgun.PROVIDER, postmark.PROVIDER)
"""Without SES: its certificate is the running simulator's."""
_BOUNDARY = "xYzZY"


def handed_over(account: Account, raw: bytes, sender: str, unique: str) -> Webhook:
    """Return the mail `raw` as the account's provider posts it; `unique` is the provider's own id."""
    match account.provider:
        case sendgrid.PROVIDER:
            envelope = json.dumps({"to": [account.address], "from": sender})
            body = _multipart({"email": raw, "envelope": envelope.encode()})
            kind = f"multipart/form-data; boundary={_BOUNDARY}"
            headers = dict(sendgrid.callback(account, "", body, kind).headers)
        case mailgun.PROVIDER:
            form = {
                "recipient": account.address,
                "sender": sender,
                "body-mime": raw,
                **mailgun.proof(account),
            }
            body = urlencode(form).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
        case _:
            document = {
                "MessageID": unique,
                "From": sender,
                "OriginalRecipient": account.address,
                "RawEmail": raw.decode("utf-8", "replace"),
            }
            body, headers = json.dumps(document).encode(), postmark.headers(account)
    return Webhook(path(account), headers, body)


def _multipart(fields: Mapping[str, bytes]) -> bytes:
    parts = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in fields.items()
    )
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
