"""Embedded servers: they answer, keep their data, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import MongoClient

from deploy.local.lock import DirectoryInUseError, hold
from deploy.local.servers import (
    ServerStartError,
    kafka_server,
    mongo_server,
    start_tethered,
    stop,
    wait_until,
)
from deploy.local.wire import kafka_brokers

PARENT = """
import sys, time
from pathlib import Path
from deploy.local.servers import start_tethered
child = start_tethered([sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
def test_a_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603 - our own program
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
    wait(lambda: gone(child))


def test_a_server_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    child = start_tethered([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        stop(child)
    assert child.returncode == -signal.SIGTERM


def test_a_server_that_ends_at_its_start_is_quoted_without_the_loader_noise(tmp_path: Path) -> None:
    program = "import sys; sys.exit('weak version GLIBC_2.39 not found\\ndisk is full')"
    child = start_tethered([sys.executable, "-c", program], tmp_path / "log")
    with pytest.raises(ServerStartError, match=r"kafka server ended with code 1 at its start: disk is full$"):
        wait_until(lambda: False, child, tmp_path / "log", name="kafka")


def test_mongo_keeps_its_data(tmp_path: Path) -> None:
    for expected in (0, 1):
        with mongo_server(tmp_path / "mongo") as url, MongoClient[dict[str, object]](url) as client:
            assert client.db.things.count_documents({}) == expected
            client.db.things.insert_one({})


async def test_kafka_keeps_its_records(tmp_path: Path) -> None:
    with kafka_server(tmp_path / "kafka") as bootstrap:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
            await producer.send_and_wait("kept", b"value")
    with kafka_server(tmp_path / "kafka") as bootstrap:
        async with AIOKafkaConsumer(
            "kept", bootstrap_servers=bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            assert (await consumer.getone()).value == b"value"


def test_nobody_there_is_no_broker() -> None:
    assert kafka_brokers("127.0.0.1", 1) == 0


def test_a_directory_in_use_is_named_with_its_process(tmp_path: Path) -> None:
    with (
        hold(tmp_path),
        pytest.raises(DirectoryInUseError, match=rf"{tmp_path} is in use .*process {os.getpid()}"),
        hold(tmp_path),
    ):
        pass


def test_a_directory_is_free_when_the_last_server_of_a_killed_stack_is_gone(tmp_path: Path) -> None:
    with hold(tmp_path) as descriptor:
        program = "import sys, time; sys.stdin.read()"
        left = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", program], stdin=subprocess.PIPE, pass_fds=(descriptor,), close_fds=True
        )
    (tmp_path / "lock").write_text("999999999")  # the stack itself is gone
    with pytest.raises(DirectoryInUseError), hold(tmp_path, seconds=0.2):
        pass
    assert left.stdin is not None
    left.stdin.close()
    left.wait()
    with hold(tmp_path, seconds=0.2):
        pass
