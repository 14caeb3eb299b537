"""What notifier reads."""

from datetime import timedelta

from services.chassis.mongo import Database
from services.notifier.access import Access
from services.notifier.consents import Consents
from services.notifier.subscribers import consumers
from services.notifier.webhooks.endpoint_store import Endpoints
from services.notifier.webhooks.intake import Intake
from services.notifier.webhooks.post_store import Posts
from tests.integration.notifier.conftest import Notifier


async def test_no_two_consumers_share_a_group_so_that_one_rebalances_alone(
    notifier: Notifier, database: Database
) -> None:
    intake = Intake(Endpoints(database, notifier.log), Posts(database, timedelta(days=1)), 1000, lambda: None)
    access = Access(database, lambda _agent, _inboxes: None)
    table = consumers(notifier.sends, access, Consents(database), intake)
    assert {each.group for each in table} == {
        "notifier.messages.outbound",
        "notifier.messages.delivery",
        "notifier.agents.events",
        "notifier.consents",
        "notifier.webhooks.conversations.events",
        "notifier.webhooks.customers.events",
        "notifier.webhooks.webhooks.events",
    }
