"""Metrics of identity, each declared once."""

from prometheus_client import Counter

CUSTOMERS_CREATED = Counter("parley_identity_customers_created_total", "Customers made", ["by"])
CONFLICTS = Counter(
    "parley_identity_conflicts_total", "Messages whose identifiers belong to more than one Customer"
)
COMMANDS = Counter("parley_identity_commands_total", "Commands of Agents carried out", ["command"])
