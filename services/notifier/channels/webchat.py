"""Our own web chat: nothing leaves. What is stored is sent; the visitor's stream carries it."""

from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.sending import Means, Sent

PROVIDER = "webchat"


async def send(_means: Means, _account: Account, message: MessageSend) -> Sent:
    """Accept at once; the id is our own."""
    return Sent(str(message.data.message_id))
