"""Facebook Messenger, sent by `meta_messages`; our message id is the `metadata` that the echo repeats."""

from schemas.common import IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.graph import BASE
from services.notifier.channels.meta_messages import Letter, Platform
from services.notifier.channels.sending import Means, Sent

PROVIDER = "messenger"
PLATFORM = Platform(IdentifierKind.MESSENGER, BASE, text_bytes=2 * 2000, encoding="utf-16-le", metadata=True)


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send as the page; receipts come to the app's own webhook. See Send."""
    return await Letter(PLATFORM, means, account, message).send()
