"""Outgoing email through a relay that takes RFC 5322 bytes by HTTP.

`POST {api_base}/messages`, `Authorization: Bearer <token>`, `Content-Type: message/rfc822`; the
relay takes the recipient from `To` and answers 2xx once it has the mail. It need not deduplicate.
"""

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.mail import composed, message_id_of, recipient
from services.notifier.channels.sending import Means, Sent, base_url, post, secret, unexplained

PROVIDER = "mime"


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send as a mail threaded under the Customer's last one; see Send."""
    recipient(message)
    answer = await post(
        means.client,
        f"{base_url(account, '')}/messages",
        content=await composed(means, account, message),
        headers={"Authorization": f"Bearer {secret(account, 'token')}", "Content-Type": "message/rfc822"},
    )
    if answer.is_success:
        return Sent(message_id_of(account.address, message))
    raise unexplained(answer)
