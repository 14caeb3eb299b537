"""Instagram messaging, sent by `meta_messages` with the token of the account's own log-in.

It is not known to take `metadata`, so an echo is matched by Instagram's id alone. With a page's token
set the account's `api_base` to graph.facebook.com.
"""

from schemas.common import IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.graph import INSTAGRAM_BASE
from services.notifier.channels.meta_messages import Letter, Platform
from services.notifier.channels.sending import Means, Sent

PROVIDER = "instagram"
PLATFORM = Platform(
    IdentifierKind.INSTAGRAM,
    INSTAGRAM_BASE,
    text_bytes=1000,
    encoding="utf-8",
    metadata=False,
    by_token=True,
)


async def send(means: Means, account: Account, message: MessageSend) -> Sent:
    """Send as the account; receipts come to the app's own webhook. See Send."""
    return await Letter(PLATFORM, means, account, message).send()
