"""The image's steps, performed in directories with a fresh environment; then every command from there.

Run by `make image-steps`: it installs the image's requirements anew.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import httpx
import pytest

from deploy.local.ports import LOCALHOST, free_port
from deploy.local.up import SERVICES
from services.chassis.service import HTTP_DRAIN_SECONDS
from services.chassis.settings import Settings
from tests.deploy.dockerfile import Builder, Stage, as_user
from tests.servers.stack import ROOT

START_SECONDS = 30.0
STOP_SECONDS = HTTP_DRAIN_SECONDS + Settings.model_fields["drain_timeout_seconds"].default + 2


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    """Give a builder in a directory that every user may enter, as `tmp_path` is not."""
    directory = Path(tempfile.mkdtemp(prefix="parley-image-"))
    directory.chmod(0o755)
    yield Builder(directory)
    if os.geteuid() != 0:  # root may remove what is read-only
        for folder, _, _ in os.walk(directory):
            Path(folder).chmod(0o755)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def image(builder: Builder) -> Stage:
    """Give what is deployed, with the two files an operator mounts, all of it read-only."""
    built = with_files(builder.build("runtime"))
    for path in (built.root, *built.root.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    return built


def with_files(built: Stage) -> Stage:
    """Put the files into it that deployments mount."""
    for variable, file in (("ACCOUNTS_FILE", "accounts.yaml"), ("AGENTS_FILE", "agents.yaml")):
        mounted = built.root / built.environment[variable].lstrip("/")
        mounted.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "deploy" / "local" / file, mounted)
    return built


@contextmanager
def started(
    image: Stage, arguments: Sequence[str], variables: Mapping[str, str]
) -> "Iterator[subprocess.Popen[str]]":
    """Run the image's entry point with `arguments`, as its user."""
    with subprocess.Popen(  # noqa: S603 - what the Dockerfile says
        [*as_user(image.user), *image.entrypoint, *arguments],
        cwd=image.at(""),
        env=image.variables() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def answer_of(port: int, path: str, process: "subprocess.Popen[str]") -> httpx.Response:
    """Return the answer to GET `path`, once there is one."""
    deadline = monotonic() + START_SECONDS
    while process.poll() is None and monotonic() < deadline:
        try:
            return httpx.get(f"http://{LOCALHOST}:{port}{path}", timeout=10, trust_env=False)
        except httpx.TransportError:
            continue
    process.kill()
    pytest.fail(f"nothing listens: {process.communicate()[0][-3000:]}")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_alive_without_its_servers_and_ends_in_order(image: Stage, service: str) -> None:
    port = free_port()
    away = {"KAFKA_BOOTSTRAP_SERVERS": f"{LOCALHOST}:1", "MONGO_URL": f"mongodb://{LOCALHOST}:1"}
    with started(image, [f"services.{service}"], {"PORT": str(port), "HOST": LOCALHOST, **away}) as process:
        assert answer_of(port, "/livez", process).json() == {"status": "ok", "hangs": []}
        ready = answer_of(port, f"/{service}/readyz", process)
        assert ready.status_code == 503
        assert ready.json()["checks"]["kafka"] != "ok"
        if os.geteuid() == 0:
            uid = Path(f"/proc/{process.pid}").stat().st_uid
            assert uid == int(image.user.partition(":")[0])
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=STOP_SECONDS)
        assert process.returncode in {0, -signal.SIGTERM}, output[-3000:]
        assert "Traceback" not in output


def test_the_topics_command_says_clearly_that_kafka_is_away(image: Stage) -> None:
    away = {"KAFKA_BOOTSTRAP_SERVERS": f"{LOCALHOST}:1", "TOPIC_WAIT_SECONDS": "0.2"}
    with started(image, ["services.chassis.topics"], away) as process:
        output, _ = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 1
    assert output == f"error: Kafka at {LOCALHOST}:1 could not be used within 0.2 s: no broker answers\n"


def test_the_image_holds_only_what_runs(image: Stage) -> None:
    held = {path.name for path in image.at("").iterdir()}
    assert held == {"venv", "schemas", "services"}
    packages = {path.name for path in image.at("venv/lib").glob("python3.*/site-packages/*")}
    assert {"fastapi", "aiokafka", "pymongo"} <= packages
    assert not packages & {"pip", "pytest", "typer", "noida_db", "secantus", "mypy"}


def test_every_file_is_readable_by_the_image_s_user_and_compiled(image: Stage) -> None:
    files = [path for path in image.at("").rglob("*") if not path.is_symlink()]
    closed = [path for path in files if not path.stat().st_mode & stat.S_IROTH]
    assert closed == []
    sources = [path for folder in ("schemas", "services") for path in image.at(folder).rglob("*.py")]
    compiled = {
        path.parent.parent / f"{path.name.partition('.')[0]}.py" for path in image.at("").rglob("*.pyc")
    }
    assert set(sources) - compiled == set()


def test_the_image_for_trying_out_serves_keys_and_simulator_and_makes_tokens(builder: Builder) -> None:
    tools, port, proxy = with_files(builder.build("local")), free_port(), free_port()
    places = {"DEV_PORT": str(port), "PORT": str(proxy)}
    with started(tools, tools.command, places) as process:
        assert answer_of(port, "/dev/jwks.json", process).json()["keys"][0]["kty"] == "EC"
        assert answer_of(port, "/dev/readyz", process).status_code == 503
        assert answer_of(port, "/dev/providers/sent", process).json() == []
        listed = answer_of(port, "/", process).json()["services"]
        assert [service["name"] for service in listed] == list(SERVICES)
        with started(tools, ["deploy.local.token", "ana"], places) as token:
            printed, _ = token.communicate(timeout=START_SECONDS)
        assert token.returncode == 0
        assert len(printed.split(".")) == 3
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=STOP_SECONDS)
        assert process.returncode in {0, -signal.SIGTERM}
        assert "Traceback" not in output
