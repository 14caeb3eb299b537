"""identity on a database of its own."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from services.chassis.mongo import Database, connect
from services.identity.commands import Commands
from services.identity.handlers import Customers
from services.identity.merges import Merges
from services.identity.settings import IdentitySettings
from services.identity.store import Store
from tests import crash
from tests.unit.identity.messages import NOW

_numbers = count(1)


class Identity:
    """The service without its edges; a `fuse` makes it crash at a step."""

    def __init__(
        self, database: Database, log: crash.Log | None = None, fuse: crash.Fuse | None = None
    ) -> None:
        self.fuse = fuse or crash.Fuse(None)
        self.log = log or crash.Log()
        self.log.fuse = self.fuse
        self.database = database
        self.store = Store(crash.Database(database, self.fuse), self.log)  # type: ignore[arg-type]
        self.merges = Merges(self.store, lambda: NOW)
        self.customers = Customers(
            self.store, self.merges, self.log, lambda: f"customer-{next(_numbers)}", lambda: NOW
        )
        self.commands = Commands(self.store, lambda: NOW)


@pytest.fixture
async def database(embedded_mongo: str, database_name: str) -> AsyncIterator[Database]:
    settings = IdentitySettings(mongo_url=embedded_mongo, mongo_database=database_name)
    found = connect(settings, "identity")
    await Store(found, crash.Log()).prepare()
    yield found
    await found.client.close()


@pytest.fixture
def identity(database: Database) -> Identity:
    return Identity(database)
