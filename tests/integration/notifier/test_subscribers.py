"""What notifier reads."""

from services.chassis.mongo import Database
from services.notifier.access import Access
from services.notifier.consents import Consents
from services.notifier.subscribers import consumers
from tests.integration.notifier.conftest import Notifier


async def test_no_two_consumers_share_a_group_so_that_one_rebalances_alone(
    notifier: Notifier, database: Database
) -> None:
    table = consumers(notifier.sends, Access(database, lambda _agent, _inboxes: None), Consents(database))
    assert {each.group for each in table} == {
        "notifier.messages.outbound",
        "notifier.messages.delivery",
        "notifier.agents.events",
        "notifier.consents",
    }
