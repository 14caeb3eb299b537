"""Raw email (RFC 5322) from a relay of ours, which proves itself by a bearer token.

Dedup key: Message-ID with a hash of the body; without a Message-ID a hash of the mail without its
trace headers. See mails.py.
"""

from collections.abc import Sequence

from services.chassis.accounts import Account
from services.ingest.channels.mails import mail_items
from services.ingest.channels.signatures import bearer, same
from services.ingest.webhook import Arrival, BadItem, Item, Unreadable, Webhook

PROVIDER = "mime"


def verify(webhook: Webhook, account: Account) -> bool:
    """Check the relay's bearer token."""
    given = bearer(webhook.headers.get("authorization", ""))
    return any(same(given, token) for token in account.valid("token"))


def parse(webhook: Webhook, arrival: Arrival) -> Sequence[Item]:
    """Return the mail as a message; a bounce of a mail of ours also as a delivery report."""
    try:
        return mail_items(webhook.body, arrival, shared="token")
    except BadItem as error:
        return [Unreadable(str(error), webhook.body)]
