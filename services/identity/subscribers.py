"""The topics identity reads."""

from collections.abc import Sequence

from schemas.topics import AUDIT_ENTRIES, CUSTOMERS_EVENTS, MESSAGES_INBOUND
from services.chassis.delivery import Consumer, Delivery, Outcome
from services.identity import metrics
from services.identity.audit import Audit
from services.identity.handlers import Customers
from services.identity.lookup.lookups import Lookups

GROUP = "identity"


def consumers(customers: Customers, audit: Audit, lookups: Lookups | None = None) -> list[Consumer]:
    """Return the table of consumers."""

    async def identify(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        done = await customers.identify(batch)
        metrics.CUSTOMERS_CREATED.labels("message").inc(done.created)
        metrics.CONFLICTS.inc(done.conflicts)
        return done.outcomes

    asking = []
    if lookups is not None:
        asking = [Consumer(CUSTOMERS_EVENTS, f"{GROUP}.{CUSTOMERS_EVENTS.name}", lookups.learn)]
    return [
        Consumer(MESSAGES_INBOUND, GROUP, identify),
        Consumer(AUDIT_ENTRIES, f"{GROUP}.{AUDIT_ENTRIES.name}", audit.learn),
        *asking,
    ]
