"""What must hold of `deploy/compose.yaml` and of its proxy, short of running them."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from deploy.local.up import SERVICES
from services.chassis.service import HTTP_DRAIN_SECONDS
from tests.deploy.dockerfile import stages
from tests.deploy.variables import TOPICS_COMMAND, drain_seconds, known_to
from tests.servers.stack import ROOT

COMPOSE = ROOT / "deploy" / "compose.yaml"
STACK: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
CONTAINERS: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: each for name, each in CONTAINERS.items() if "build" in each}
DEPLOYED = {name: OURS[name] for name in (*SERVICES, "topics")}


def test_it_is_a_compose_file_as_the_specification_says() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(COMPOSE),
    ]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    image, _, tag = CONTAINERS[name]["image"].partition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+\.\d+[\w.-]*", tag)


@pytest.mark.parametrize("name", OURS)
def test_our_images_are_built_from_a_target_that_exists(name: str) -> None:
    build = OURS[name]["build"]
    assert (COMPOSE.parent / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert build["target"] in stages()
    assert OURS[name]["read_only"] is True
    assert OURS[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_container_is_given_only_variables_that_its_command_reads(name: str) -> None:
    module = TOPICS_COMMAND if name == "topics" else f"services.{name}"
    assert DEPLOYED[name]["command"] == [module]
    shared_by_all = known_to("services.notifier")
    assert set(DEPLOYED[name]["environment"]) <= known_to(module) | shared_by_all


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_its_topics_and_has_time_to_drain(name: str) -> None:
    service = DEPLOYED[name]
    assert service["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert service["depends_on"]["mongo"]["condition"] == "service_healthy"
    grace = float(service["stop_grace_period"].removesuffix("s"))
    assert grace > HTTP_DRAIN_SECONDS + drain_seconds(service["environment"])


@pytest.mark.parametrize("name", sorted(CONTAINERS.keys() - {"topics", "proxy"}))
def test_everything_that_stays_up_is_watched_and_started_again(name: str) -> None:
    assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"
    assert CONTAINERS[name]["restart"] == "unless-stopped"


def test_what_is_waited_for_exists_and_can_be_healthy() -> None:
    for container in CONTAINERS.values():
        for name, wait in container.get("depends_on", {}).items():
            assert wait["condition"] != "service_healthy" or "healthcheck" in CONTAINERS[name]


@pytest.mark.parametrize(
    "source",
    sorted({mount.partition(":")[0] for each in CONTAINERS.values() for mount in each.get("volumes", ())}),
)
def test_every_mounted_file_and_volume_exists(source: str) -> None:
    assert (COMPOSE.parent / source).exists() if source.startswith(".") else source in STACK["volumes"]


def test_nothing_listens_beyond_this_machine() -> None:
    published = [port for container in CONTAINERS.values() for port in container.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_proxy_knows_every_service() -> None:
    caddyfile = (ROOT / "deploy" / "docker" / "Caddyfile").read_text()
    found = re.search(r"path_regexp service \^/\(([\w|]+)\)\(/\|\$\)", caddyfile)
    assert found is not None
    assert tuple(found[1].split("|")) == SERVICES
