"""What must hold of the image before it is built; `make image-steps` performs the steps themselves."""

import re
import tomllib

import pytest

from tests.deploy.dockerfile import context, stages
from tests.servers.stack import ROOT

TARGETS = ("runtime", "local")


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_as_a_numbered_user_that_is_not_root(target: str) -> None:
    _, steps = stages()[target]
    user = [step.value for step in steps if step.name == "USER"][-1]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert steps[-1].name == "CMD", "nothing may run as another user after USER"


def test_what_is_deployed_is_the_default_target_and_has_nothing_of_the_local_stack() -> None:
    assert list(stages())[-1] == "runtime"
    _, steps = stages()["runtime"]
    assert not [step for step in steps if "local" in step.value]


def test_the_base_is_pinned_to_a_python_that_the_project_supports() -> None:
    bases = {origin for origin, _ in stages().values() if origin not in stages()}
    assert len(bases) == 1
    version = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-\w+", bases.pop())
    assert version is not None
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert (int(version[1]), int(version[2])) >= tuple(map(int, needed.removeprefix(">=").split(".")))


def test_every_installation_checks_hashes() -> None:
    installations = [
        step.value for _, steps in stages().values() for step in steps if "pip install" in step.value
    ]
    assert len(installations) == 2
    assert all("--require-hashes" in line for line in installations)


def test_the_builder_gets_no_tests_secrets_or_history() -> None:
    roots = {name.partition("/")[0] for name in context()}
    assert roots == {".dockerignore", "deploy", "requirements", "schemas", "services"}
    assert not [name for name in context() if "__pycache__" in name]
