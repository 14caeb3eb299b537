"""Metrics of identity, each declared once."""

from prometheus_client import Counter

from services.identity.lookup.answers import OUTCOMES

CUSTOMERS_CREATED = Counter("parley_identity_customers_created_total", "Customers made", ["by"])
CONFLICTS = Counter(
    "parley_identity_conflicts_total", "Messages whose identifiers belong to more than one Customer"
)
LOOKUPS = Counter(
    "parley_identity_lookups_total",
    "Questions to the operator's system for a Customer's data, by what came of them",
    ["outcome"],
)
for _outcome in OUTCOMES:
    LOOKUPS.labels(_outcome)
COMMANDS = Counter("parley_identity_commands_total", "Commands of Agents carried out", ["command"])
