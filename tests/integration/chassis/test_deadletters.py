"""The operator's command about dead letters, on the real protocol."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.pacing import pace_empty_fetches
from deploy.local.ports import free_port
from deploy.local.servers import kafka_server
from schemas.topics import AGENTS_EVENTS, DEADLETTERS, MESSAGES_DELIVERY, Topic
from services.chassis.broker import KafkaPublisher, Outgoing, partition_of
from services.chassis.clock import utc_now
from services.chassis.deadletters.__main__ import DONE, NOT_DONE, UNREACHABLE, main
from services.chassis.deadletters.letter import FOR_GROUP, RETRY_OF, Failure, Record, dead_letter
from services.chassis.delivery import HANDLED, Consumer, Delivery, Outcome, Refused
from services.chassis.settings import Settings
from services.chassis.stage import Stage
from services.chassis.topics import create_topics
from tests.suites.consumed import consumed
from tests.suites.delivery import record, until
from tests.system.topics import raw_records

TOPIC = MESSAGES_DELIVERY


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Give the settings of a Kafka of this module's own: what is written here nobody else should read."""
    pace_empty_fetches()
    with kafka_server(tmp_path_factory.mktemp("kafka") / "data") as bootstrap:
        found = Settings(
            kafka_bootstrap_servers=bootstrap,
            session_timeout_seconds=6,
            drain_timeout_seconds=5,
            suspicion_seconds=0,
        )
        asyncio.run(create_topics(found))
        yield found


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[KafkaPublisher]:
    made = KafkaPublisher(settings, "test")
    yield made
    await made.stop()


@pytest.fixture
def group() -> str:
    return f"g-{uuid4().hex[:10]}"


Command = Callable[..., Any]


@pytest.fixture
def command(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give a function that runs the command and returns exit code, output and errors."""

    async def run(*arguments: str, settings: Settings = settings) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, arguments, settings)
        return (code, *capsys.readouterr())

    return run


@asynccontextmanager
async def consuming(
    settings: Settings, publisher: KafkaPublisher, group: str, behave: Callable[[Any], Outcome], topic: Topic
) -> AsyncIterator[list[Any]]:
    """Run a consumer of the group; gives what it was handed and did not refuse."""
    seen: list[Any] = []

    async def handle(batch: Sequence[Delivery]) -> list[Outcome]:
        outcomes = [behave(delivery.message) for delivery in batch]
        fates = zip(batch, outcomes, strict=True)
        seen.extend(delivery.message for delivery, outcome in fates if outcome == HANDLED)
        return outcomes

    stage = Stage(Consumer(topic, group, handle), settings, publisher)
    task = asyncio.create_task(stage.run())
    try:
        yield seen
    finally:
        await stage.stop()
        await asyncio.wait_for(task, 30)


def fine(_: Any) -> Outcome:
    return HANDLED


def broken_for(mark: str) -> Callable[[Any], Outcome]:
    """Refuse the uneven numbers of `mark`."""

    def behave(message: Any) -> Outcome:
        data = message.data
        uneven = data.account.startswith(mark) and int(data.provider_message_id) % 2
        return Refused("uneven") if uneven else HANDLED

    return behave


async def listed(command: Command, *arguments: str) -> list[dict[str, Any]]:
    code, out, _ = await command("list", "--json", *arguments)
    assert code == DONE
    return [json.loads(line) for line in out.splitlines()]


async def fail_some(settings: Settings, publisher: KafkaPublisher, group: str, command: Command) -> None:
    """Let the group give up on the uneven ones of ten records."""
    await publisher.publish([record(f"{group}-{n % 2}{n % 3}", n) for n in range(10)])
    async with consuming(settings, publisher, group, broken_for(group), TOPIC):
        async with asyncio.timeout(30):
            while len(await listed(command, "--group", group)) < 5:
                await asyncio.sleep(0.05)


async def test_the_whole_round_list_show_retry(
    settings: Settings, publisher: KafkaPublisher, group: str, command: Command
) -> None:
    await fail_some(settings, publisher, group, command)
    letters = await listed(command, "--group", group, "--topic", TOPIC.name, "--error", "Refused")
    assert {letter["error_class"] for letter in letters} == {"Refused:uneven"}
    assert await listed(command, "--group", group, "--error", "Lookup") == []

    code, out, _ = await command("show", letters[0]["place"])
    assert (code, "Refused:uneven" in out, "twilio" in out) == (DONE, True, False)
    code, out, _ = await command("show", letters[0]["id"], "--body", "--json")
    body = json.loads(json.loads(out)["value"])
    assert int(body["data"]["provider_message_id"]) % 2 == 1

    code, out, _ = await command("list", "--group", group)
    assert out.splitlines()[:2] == ["5 open", f"     5  {group}  {TOPIC.name}  Refused:uneven"]
    assert group + "-" not in out

    async with (
        consuming(settings, publisher, group, fine, TOPIC) as again,
        consuming(settings, publisher, f"{group}-other", fine, TOPIC) as others,
    ):
        await until(lambda: len(of(others, group)) == 10)
        code, out, _ = await command("retry", "--group", group, "--all", "--yes")
        assert (code, out) == (DONE, "retried 5 of 5 dead letters\n")
        await until(lambda: len(of(again, group)) >= 5)
        marker = record(f"{group}-x", 1000)
        await publisher.publish([marker])
        await until(lambda: 1000 in of(others, group))
        assert sorted(of(again, group)) in ([1, 3, 5, 7, 9], [1, 3, 5, 7, 9, 1000])
        assert sorted(of(others, group)) == [*range(10), 1000]
    for key in {letter["partition"] for letter in letters}:
        in_order = [n["offset"] for n in letters if n["partition"] == key]
        assert in_order == sorted(in_order)
    assert await listed(command, "--group", group) == []
    settled = await listed(command, "--group", group, "--settled")
    assert [letter["settled"] for letter in settled] == ["retried"] * 5


def of(messages: Sequence[Any], mark: str) -> list[int]:
    return [int(each.data.provider_message_id) for each in messages if each.data.account.startswith(mark)]


async def test_a_record_that_fails_again_is_a_new_letter_that_names_the_old_one(
    settings: Settings, publisher: KafkaPublisher, group: str, command: Command
) -> None:
    await fail_some(settings, publisher, group, command)
    first, *others = await listed(command, "--group", group)
    assert (await command("drop", *[letter["place"] for letter in others], "--yes"))[0] == DONE
    assert [letter["id"] for letter in await listed(command, "--group", group)] == [first["id"]]
    async with consuming(settings, publisher, group, broken_for(group), TOPIC):
        assert (await command("retry", first["id"], "--yes"))[0] == DONE
        async with asyncio.timeout(30):
            while not (again := await listed(command, "--group", group)):
                await asyncio.sleep(0.05)
    (second,) = again
    assert second["retry_of"] == first["id"] != second["id"]


async def test_pages_follow_one_another_and_summaries_count(
    settings: Settings, publisher: KafkaPublisher, group: str, command: Command
) -> None:
    await fail_some(settings, publisher, group, command)
    pages, place = list[str](), list[str]()
    while page := await listed(command, "--group", group, "--limit", "2", *place):
        pages += [letter["place"] for letter in page]
        place = ["--after", pages[-1]]
    assert pages == [letter["place"] for letter in await listed(command, "--group", group)]
    assert len(set(pages)) == 5
    _, out, _ = await command("list", "--group", group, "--summary", "--json")
    assert json.loads(out)["count"] == 5
    _, out, _ = await command("list", "--group", group, "--limit", "2")
    assert out.endswith(f"3 more: --after {pages[1]}\n")
    assert await listed(command, "--group", group, "--since", "2999-01-01") == []
    assert len(await listed(command, "--group", group, "--since", "1h")) == 5


async def test_what_cannot_be_done_is_said_and_nothing_is_done(
    settings: Settings,
    publisher: KafkaPublisher,
    group: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fail_some(settings, publisher, group, command)
    first, second, *_ = [letter["place"] for letter in await listed(command, "--group", group)]
    assert (await command("drop", first, "--yes"))[0] == DONE
    for wrong, words in {
        first: "was dropped already",
        "3:99999": "there is no dead letter 3:99999",
        str(uuid4()): "there is no dead letter",
        "hello": "neither a place",
        "a:b": "neither a place",
    }.items():
        code, _, err = await command("retry", second, wrong, "--yes")
        assert (code, words in err) == (NOT_DONE, True), err
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert (await command("retry", second))[::2] == (NOT_DONE, "nothing was done\n")
    assert len(await listed(command, "--group", group)) == 4
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert (await command("drop", "--all", "--group", group))[0] == DONE
    assert (await command("drop", "--all", "--group", group, "--yes"))[1] == "0 letters match\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry"], "name letters, or give --all"),
        (["drop", "1:2", "--all"], "name letters, or give --all"),
        (["retry", "1:2", "--group", "x"], "name letters, or give --all"),
        (["list", "--limit", "0"], "'0' is no number above 0"),
        (["list", "--after", "1-2"], "'1-2' is no place"),
        (["list", "--since", "yesterday"], "'yesterday' is neither an age"),
        (["list", "--since", "999999d"], "is neither an age"),
    ],
)
def test_wrong_usage_is_explained(
    arguments: list[str], words: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments, settings)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


async def test_kafka_that_is_away_is_said(command: Command) -> None:
    away = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    code, _, err = await command("list", settings=away)
    assert (code, "does not answer" in err) == (UNREACHABLE, True)


async def test_a_record_too_large_to_copy_is_fetched_from_its_topic(
    settings: Settings, publisher: KafkaPublisher, group: str, command: Command
) -> None:
    large = record(f"{group}-k", 1)
    padded = Outgoing(large.topic, large.key, large.value[:-1] + b" " * 900_000 + b"}")
    await publisher.publish([padded])
    async with consuming(settings, publisher, group, broken_for(group), TOPIC):
        async with asyncio.timeout(30):
            while not (letters := await listed(command, "--group", group)):
                await asyncio.sleep(0.05)
    assert letters[0]["value_bytes"] > 900_000
    async with consuming(settings, publisher, group, fine, TOPIC) as seen:
        assert (await command("retry", "--all", "--group", group, "--yes"))[0] == DONE
        await until(lambda: of(seen, group) == [1])


async def test_bytes_headers_and_a_missing_key_come_back_as_they_were(
    settings: Settings, publisher: KafkaPublisher, group: str, command: Command
) -> None:
    strange = consumed(
        TOPIC.name, 10**6, partition=3, value=b"\xff\x00\xfe", headers=[("a", b"\xff"), ("a", b"")]
    )
    await publisher.publish([letter_of(group, strange)])
    code, _, _ = await command("retry", "--group", group, "--all", "--yes")
    assert code == DONE
    (again,) = await republished(settings, TOPIC, group)
    assert (again.partition, again.key, again.value) == (3, None, b"\xff\x00\xfe")
    assert again.headers[:2] == (("a", b"\xff"), ("a", b""))
    assert [name for name, _ in again.headers[2:]] == [FOR_GROUP, RETRY_OF]


async def test_in_a_compacted_topic_an_old_record_does_not_take_the_newest_ones_place(
    settings: Settings, publisher: KafkaPublisher, group: str, command: Command
) -> None:
    old = consumed(AGENTS_EVENTS.name, 10**6, partition=partition_of("ana"), key=b"ana", value=b"{}")
    await publisher.publish([letter_of(group, old)])
    assert (await command("retry", "--group", group, "--all", "--yes"))[0] == DONE
    (again,) = await republished(settings, AGENTS_EVENTS, group)
    assert again.key != b"ana"
    assert (again.partition, again.value) == (partition_of("ana"), b"{}")


async def test_what_is_gone_is_named_and_the_others_are_retried(
    publisher: KafkaPublisher, group: str, command: Command
) -> None:
    await publisher.publish([record(f"{group}-k", 2)])
    partition = partition_of(f"{group}-k")
    another = consumed(TOPIC.name, 0, partition=partition, value=b"x" * 700_000)
    deleted = consumed(TOPIC.name, 10**7, partition=1, value=b"x" * 700_000)
    whole = consumed(TOPIC.name, 10**7, partition=2, value=b"{}")
    await publisher.publish([letter_of(group, each) for each in (another, deleted, whole)])
    code, out, err = await command("retry", "--group", group, "--all", "--yes")
    assert (code, out) == (NOT_DONE, "retried 1 of 3 dead letters\n")
    assert "another record stands where this one stood" in err
    assert "is not kept any more" in err
    assert len(await listed(command, "--group", group)) == 2
    assert (await command("drop", "--group", group, "--all", "--yes"))[0] == DONE


async def test_what_is_no_dead_letter_is_passed_over(
    settings: Settings, group: str, command: Command
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers) as producer:
        await producer.send_and_wait(DEADLETTERS.name, b"\xff", partition=0)
    code, _, err = await command("list", "--group", group)
    assert (code, "no dead letters and were passed over" in err) == (DONE, True)


def letter_of(group: str, of: Record) -> Outgoing:
    return dead_letter(group, of, Failure("LookupError", 3), utc_now())


async def republished(settings: Settings, topic: Topic, group: str) -> list[Record]:
    found = await raw_records(settings.kafka_bootstrap_servers, topic)
    return [each for each in found if (FOR_GROUP, group.encode()) in each.headers]
