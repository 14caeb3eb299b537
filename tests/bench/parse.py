"""How many plain messages a core verifies and parses, provider by provider, without HTTP and Kafka.

The control checks one HMAC over the body and reads it as JSON, or as a mail's bytes: it shows the machine.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid5

from deploy.local.simulator.registry import STAND_INS
from deploy.local.simulator.standin import StandIn, Writing
from schemas.common import Channel
from services.chassis.accounts import Account, Accounts
from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Received, Webhook
from tests.bench.figures import Figure, Target, at_least
from tests.bench.messages import TEXT
from tests.bench.setup import Setup
from tests.system.launch import PUBLIC_URL

A_SECOND, MAILS_A_SECOND = 5_000, 500
_NAMESPACE = UUID(int=0)


async def run(setup: Setup) -> list[Figure]:
    """Return each provider's messages a second of processor time; raises ValueError for one not read."""
    accounts = Accounts.load(setup.settings.accounts_file)
    number = setup.sized(smoke=50, small=2_000, full=10_000)
    figures = []
    for row in STAND_INS:
        account = accounts.find(row.provider, "demo")
        if account is None or row.provider not in PROVIDERS:
            raise ValueError(row.provider)
        webhooks = list(_made(row, account, number))
        read = partial(_read, account=account, accounts=accounts)
        rate = max(_rate(read, webhooks) for _ in range(3))
        beside = max(_rate(_control, webhooks) for _ in range(3))
        name = f"verify and parse, {row.provider}"
        figures.append(Figure(name, rate, "messages/s of processor time", target=_target(row)))
        figures.append(Figure(f"… one HMAC and json.loads, {row.provider}", beside, "messages/s"))
    return figures


def _target(row: StandIn) -> Target:
    return at_least(MAILS_A_SECOND if row.channel is Channel.EMAIL else A_SECOND)


def _made(row: StandIn, account: Account, number: int) -> Iterator[Webhook]:
    at = datetime.now(UTC)
    for count in range(number):
        unique = uuid5(_NAMESPACE, str(count)).hex
        made = row.writes(account, PUBLIC_URL, Writing(row.sender, f"{TEXT} {count}", unique, at, "Robin"))
        headers = {name.lower(): value for name, value in made.headers.items()}
        path, _, query = made.path.partition("?")
        yield Webhook("POST", path, query, headers, made.body, PUBLIC_URL)


def _read(webhook: Webhook, account: Account, accounts: Accounts) -> None:
    row = PROVIDERS[account.provider]
    if not row.verify(webhook, account):
        raise ValueError(f"{account.provider}: not verified")
    items = row.parse(webhook, Arrival(account, accounts, datetime.now(UTC), _NAMESPACE))
    if not any(isinstance(item, Received) for item in items):
        raise ValueError(f"{account.provider}: no message found")


def _control(webhook: Webhook) -> None:
    hmac.digest(b"secret", webhook.body, hashlib.sha256)
    if webhook.body[:1] == b"{":
        json.loads(webhook.body)


def _rate(work: Callable[[Webhook], None], webhooks: Sequence[Webhook]) -> float:
    began = time.process_time()
    for webhook in webhooks:
        # nothing that was split for an earlier round may be found again
        vars(webhook).pop("form", None)
        work(webhook)
    return len(webhooks) / (time.process_time() - began)
