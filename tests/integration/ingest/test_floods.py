"""Ingest as a process of its own under floods: too many, too large, too slow, too deep, forged.

The process may hold little more memory afterwards than before, and never much at once.
"""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from deploy.local.ports import LOCALHOST, free_port
from schemas.inbound import MessageReceived, WebhookQuarantined
from schemas.topics import MESSAGES_INBOUND, WEBHOOKS_QUARANTINE
from services.chassis.accounts import Accounts
from services.chassis.topics import create_topics
from services.ingest.channels.whatsapp import signature
from services.ingest.settings import IngestSettings
from tests.system.launch import Process

WHATSAPP = "/ingest/v1/whatsapp/demo"
BODY_SECONDS = 1.0
MOST_MB = 150
"""By how much the process may have grown at any moment: several bodies of the largest size."""
_TICKS = os.sysconf("SC_CLK_TCK")

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux' /proc"),
    pytest.mark.asyncio(loop_scope="module"),
]


@dataclass
class Flooded:
    """The service, what it published, and what it costs."""

    process: Process
    http: httpx.AsyncClient
    log: AIOKafkaConsumer
    secret: str
    number: str

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        """Post a body that is signed."""
        proof = {"x-hub-signature-256": signature(body, self.secret)} | headers
        return await self.http.post(WHATSAPP, content=body, headers=proof)

    async def published(self, number: int) -> list[MessageReceived]:
        """Return the next `number` messages."""
        values = await self._values(MESSAGES_INBOUND.name, number)
        return [MessageReceived.model_validate_json(value) for value in values]

    async def quarantined(self) -> WebhookQuarantined:
        """Return the next webhook that was kept aside."""
        (value,) = await self._values(WEBHOOKS_QUARANTINE.name, 1)
        return WebhookQuarantined.model_validate_json(value)

    async def _values(self, topic: str, number: int) -> Sequence[bytes]:
        found: list[bytes] = []
        async with asyncio.timeout(10):
            while len(found) < number:
                record = await self.log.getone()
                assert record.topic == topic, "something else was published"
                found.append(record.value)
        return found

    def body(self, *messages: object) -> bytes:
        value = {"metadata": {"phone_number_id": self.number}, "messages": messages}
        return json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode()

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Return resident memory; `VmHWM` its highest so far."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(what)) / 1024

    def forget_peak(self) -> None:
        """Let `VmHWM` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def pid(self) -> int:
        """The process itself; what was started only ties it to this one."""
        tie = self.process.pid
        children = Path(f"/proc/{tie}/task/{tie}/children").read_text(encoding="ascii").split()
        return int(children[0]) if children else tie


def text(number: int, words: str = "hi", sender: str = "31612345678") -> dict[str, object]:
    return {
        "from": sender,
        "id": f"wamid.{number}",
        "timestamp": "1767225600",
        "type": "text",
        "text": {"body": words},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def flooded(
    embedded_kafka: str, embedded_mongo: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Flooded]:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": embedded_kafka,
        "MONGO_URL": embedded_mongo,
        "MONGO_DATABASE": "floods",
        "BODY_TIMEOUT_SECONDS": str(BODY_SECONDS),
    }
    settings = IngestSettings(kafka_bootstrap_servers=embedded_kafka)
    await create_topics(settings)
    account = Accounts.load(settings.accounts_file).find("whatsapp", "demo")
    assert account is not None
    process = Process(
        "ingest", "services.ingest", free_port(), environment, tmp_path_factory.mktemp("ingest") / "log"
    )
    process.start()
    log = AIOKafkaConsumer(
        MESSAGES_INBOUND.name,
        WEBHOOKS_QUARANTINE.name,
        bootstrap_servers=embedded_kafka,
        auto_offset_reset="latest",
        max_partition_fetch_bytes=5_000_000,
    )
    await log.start()
    await log.seek_to_end()
    for partition in log.assignment():
        await log.position(partition)
    limits = httpx.Limits(max_connections=250)
    try:
        async with httpx.AsyncClient(base_url=process.url, limits=limits, timeout=20) as http:
            await process.ready(http)
            made = Flooded(process, http, log, account.secret("app_secret"), account.address)
            assert (await made.send(made.body(text(0)))).status_code == 200
            await made.published(1)
            yield made
    finally:
        await log.stop()
        process.stop()  # one that is killed stays in its group until its session is over


@asynccontextmanager
async def little_memory(flooded: Flooded, most_mb: float = MOST_MB) -> AsyncIterator[None]:
    before = flooded.memory_mb()
    flooded.forget_peak()
    yield
    assert flooded.memory_mb("VmHWM") - before < most_mb


async def test_a_batch_of_a_thousand_is_published_in_order(flooded: Flooded) -> None:
    senders = ("31612345678", "31612345679", "31612345670")
    batch = [text(n, str(n), senders[n % 3]) for n in range(1, 1001)]
    started = monotonic()
    async with little_memory(flooded):
        assert (await flooded.send(flooded.body(*batch))).status_code == 200
    assert monotonic() - started < 5
    told = await flooded.published(1000)
    for sender in senders:
        numbers = [int(each.personal.text) for each in told if each.personal.sender.value == sender]
        assert numbers == [n for n in range(1, 1001) if senders[n % 3] == sender]


async def test_two_hundred_at_once_are_all_taken(flooded: Flooded) -> None:
    bodies = [flooded.body(text(n)) for n in range(2000, 2200)]
    async with little_memory(flooded):
        answers = await asyncio.gather(*map(flooded.send, bodies))
    assert [answer.status_code for answer in answers] == [200] * 200
    told = await flooded.published(200)
    assert {each.personal.provider_message_id for each in told} == {f"wamid.{n}" for n in range(2000, 2200)}


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(flooded: Flooded) -> None:
    words = "a long story " * 230_000
    assert (await flooded.send(flooded.body(text(3000, words)))).status_code == 200
    (told,) = await flooded.published(1)
    assert told.personal.text_rest is not None
    assert told.personal.text_rest.size == len(words)
    whole = flooded.body(text(3001)).ljust(4_000_000)
    assert (await flooded.send(whole)).status_code == 200
    assert len(await flooded.published(1)) == 1
    # a client that sends all the same may see the connection end before it reads the answer
    reader, writer = await asyncio.open_connection(LOCALHOST, flooded.process.port)
    writer.write(f"POST {WHATSAPP} HTTP/1.1\r\nHost: x\r\nContent-Length: 4000001\r\n\r\n{{".encode())
    assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"413"
    writer.close()


@pytest.mark.parametrize("depth", [1_500, 100_000])
async def test_json_however_deep_is_kept_aside(flooded: Flooded, depth: int) -> None:
    deep = f'{{"entry":[{{"changes":{"[" * depth}{"]" * depth}}}]}}'.encode()
    async with little_memory(flooded, 50):
        assert (await flooded.send(deep)).status_code == 200
    assert (await flooded.quarantined()).data.size == len(deep)


async def test_what_is_compressed_is_never_unpacked(flooded: Flooded) -> None:
    bomb = gzip.compress(bytes(200_000_000), 1)
    async with little_memory(flooded, 30):
        before = flooded.processor_seconds()
        assert (await flooded.send(bomb, **{"content-encoding": "gzip"})).status_code == 200
        forged = await flooded.http.post(WHATSAPP, content=bomb, headers={"content-encoding": "gzip"})
        assert forged.status_code == 403
        assert flooded.processor_seconds() - before < 0.5
    assert (await flooded.quarantined()).data.size == len(bomb)


async def test_who_sends_slowly_is_cut_off_and_disturbs_nobody(flooded: Flooded) -> None:
    slow = [asyncio.create_task(_drip(flooded.process.port)) for _ in range(100)]
    started = monotonic()
    while not all(task.done() for task in slow):
        assert (await flooded.send(flooded.body(text(1)))).status_code == 200
        assert await flooded.published(1)
        assert monotonic() - started < 10 * BODY_SECONDS
    assert {task.result() for task in slow} == {408}


async def _drip(port: int) -> int:
    """Announce a body and send a byte of it now and then; return the status of the answer."""
    reader, writer = await asyncio.open_connection(LOCALHOST, port)
    writer.write(f"POST {WHATSAPP} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
    answer = asyncio.create_task(reader.readline())
    while not answer.done():
        writer.write(b"{")
        await asyncio.wait([answer], timeout=0.1)
    writer.close()
    return int(answer.result().split()[1])


async def test_a_forged_flood_is_cheap_and_leaves_nothing(flooded: Flooded) -> None:
    body = flooded.body(*(text(n) for n in range(1000)))
    forged = {"x-hub-signature-256": "sha256=" + "0" * 64}
    async with little_memory(flooded):
        before = flooded.processor_seconds()
        for _ in range(10):
            answers = await asyncio.gather(
                *(flooded.http.post(WHATSAPP, content=body, headers=forged) for _ in range(50))
            )
            assert {answer.status_code for answer in answers} == {403}
        assert flooded.processor_seconds() - before < 500 * 0.02
    assert (await flooded.send(flooded.body(text(4000)))).status_code == 200
    (told,) = await flooded.published(1)
    assert told.personal.provider_message_id == "wamid.4000"


@pytest.mark.parametrize(
    "lines",
    [
        lambda: (b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(30_000)),
        lambda: (b"x: " + b"y" * 1000, *(b"y" * 1000 for _ in range(30_000))),
        lambda: (b"GET /" + b"y" * 1000 for _ in range(30_000)),
    ],
    ids=["many", "one", "path"],
)
async def test_a_flood_of_headers_is_cut_off(flooded: Flooded, lines: Callable[[], Sequence[bytes]]) -> None:
    async with little_memory(flooded, 20):
        reader, writer = await asyncio.open_connection(LOCALHOST, flooded.process.port)
        writer.write(f"POST {WHATSAPP} HTTP/1.1\r\nHost: x\r\n".encode())
        try:
            for line in lines():
                writer.write(line)
                await writer.drain()
            answer = await asyncio.wait_for(reader.readline(), 5)
        except ConnectionError:
            answer = b""
        writer.close()
    assert answer in (b"", b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert (await flooded.http.get("/livez")).status_code == 200
