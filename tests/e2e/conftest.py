"""One local stack for all tests, in which each test has an Inbox and Agents of its own."""

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml

from deploy.local.servers import kafka_server
from deploy.local.webhooks import Webhook
from schemas.routing import Capacity
from tests.servers.stack import running_stack
from tests.system.client import Client, Json, client_of
from tests.system.play import number, profile, shown, sign_on, sms_from
from tests.system.site import Site, local_site
from tests.system.waiting import until

BRANCHES = 96
TEMPLATE = {
    "name": "news",
    "language": "en",
    "text": "Hello {{1}}, parcel {{2}} is late.",
    "category": "utility",
}
_branches, _people = itertools.count(1), itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A running local stack."""

    site: Site
    kafka: str
    rules: Path
    """The file of rules: none in it."""


def branch_files(directory: Path) -> tuple[Path, Path]:
    """Write accounts and Inboxes, one of each kind for every branch; `demo` and `fallback` beside them."""
    names = ["demo", *(f"branch-{each}" for each in range(1, BRANCHES + 1))]
    accounts = [account for each, name in enumerate(names) for account in _accounts(name, each)]
    inboxes = [{"name": "fallback"}, *({"name": name} for name in names)]
    files = directory / "accounts.yaml", directory / "agents.yaml"
    files[0].write_text(yaml.safe_dump({"accounts": accounts}))
    files[1].write_text(yaml.safe_dump({"inboxes": inboxes, "agents": []}))
    return files


def _accounts(name: str, each: int) -> Iterator[Json]:
    common = {"account": name, "inbox": name}
    secrets = {"account_sid": "AC0", "auth_token": "twilio-token"}
    yield {
        **common,
        "provider": "twilio-sms",
        "channel": "sms",
        "address": number(9000 + each),
        "secrets": secrets,
        "help_text": f"This is {name}.",
    }
    yield {
        **common,
        "provider": "twilio-voice",
        "channel": "voice",
        "address": number(9000 + each),
        "secrets": secrets,
    }
    secrets = {"app_secret": "app-secret", "verify_token": "verify-token", "access_token": "access-token"}
    yield {
        **common,
        "provider": "whatsapp",
        "channel": "whatsapp",
        "address": f"9001{each:04d}",
        "secrets": secrets,
        "templates": [TEMPLATE],
    }
    for provider, number_ in (("messenger", 1002), ("instagram", 1784)):
        yield {
            **common,
            "provider": provider,
            "channel": provider,
            "address": f"{number_}{each:04d}",
            "secrets": {**secrets, "app_id": "700", "access_token": f"{provider}-token-{each}"},
        }
    address, secrets = f"{name}@parley.example", {"token": f"mime-token-{each}"}
    yield {**common, "provider": "mime", "channel": "email", "address": address, "secrets": secrets}
    address, secrets = f"widget-{name}", {"identity_secret": "an identity secret of 32 bytes or more"}
    yield {**common, "provider": "webchat", "channel": "chat", "address": address, "secrets": secrets}


def placed(directory: Path, **variables: str) -> Iterator[Place]:
    """Run a local stack with `variables` as settings, on a Kafka server whose topics can be read."""
    accounts, agents = branch_files(directory)
    rules = directory / "rules.yaml"
    rules.write_text("rules: []\n")
    files = {"ACCOUNTS_FILE": str(accounts), "AGENTS_FILE": str(agents), "RULES_FILE": str(rules)}
    data = directory / "data"
    with (
        kafka_server(directory / "kafka" / "data") as kafka,
        running_stack(data, KAFKA_BOOTSTRAP_SERVERS=kafka, **files, **variables) as stack,
    ):
        yield Place(local_site(stack.url, data, accounts), kafka, rules)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Give the stack."""
    yield from placed(tmp_path_factory.mktemp("stack"))


@pytest.fixture
async def client(place: Place) -> AsyncIterator[Client]:
    """Give a client of the stack."""
    async with client_of(place.site) as made:
        yield made


@dataclass
class Branch:
    """An Inbox with accounts of the same name, for one test."""

    name: str
    client: Client

    async def agent(self, capacity: Capacity | None = None, *, signed_on: bool = True) -> str:
        """Return a new Agent of the Inbox."""
        agent = f"agent-{uuid4().hex[:8]}"
        await profile(self.client, agent, capacity, [self.name])
        if signed_on:
            await sign_on(self.client, agent)
        return agent

    def webhook(self, sender: str, text: str) -> Webhook:
        """Return an SMS of `sender`."""
        return sms_from(self.client, sender, text, account=self.name)

    async def write(self, sender: str, text: str) -> Json:
        """Let `sender` write by SMS and return the message on the timeline."""
        posted = await self.client.webhook(self.webhook(sender, text))
        assert posted.status == 200
        return await shown(self.client, sender, text)

    async def conversation(self, text: str = "where is my parcel?") -> str:
        """Return the new Conversation of somebody new."""
        return str((await self.write(person(), text))["conversation_id"])

    async def status(self, conversation: str, status: str, seconds: float = 20.0) -> Json:
        """Return the Conversation once it has the status."""
        return await until(
            lambda: self.client.conversation(conversation),
            lambda found: found["status"] == status,
            seconds=seconds,
        )

    async def do(
        self, by: str, conversation: str, what: str, body: Json | None = None, *, hidden: bool = False
    ) -> httpx.Response:
        """Give a command on the Conversation, once conversation knows the Agent's Inboxes.

        `hidden`: the Agent may not see it, so 404 is the answer.
        """
        path = f"/conversation/v1/conversations/{conversation}/{what}"
        return await until(
            lambda: self.client.act(by, "POST", path, body),
            lambda answer: hidden or answer.status_code != httpx.codes.NOT_FOUND,
        )


def person() -> str:
    """Return the number of somebody who never wrote."""
    return number(next(_people))


@pytest.fixture
def branch(client: Client) -> Branch:
    """Give an Inbox that no other test uses."""
    return Branch(f"branch-{next(_branches)}", client)
