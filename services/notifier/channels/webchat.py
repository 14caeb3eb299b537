"""Our own web chat: nothing leaves. What is stored is sent; the visitor's stream carries it."""

import httpx

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.sending import Sent

PROVIDER = "webchat"


async def send(
    _client: httpx.AsyncClient, _account: Account, message: MessageSend, _status_callback: str
) -> Sent:
    """Accept at once; the id is our own."""
    return Sent(str(message.data.message_id))
