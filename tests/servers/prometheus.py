"""A real Prometheus that scrapes the local stack every second, with the rules of `deploy/prometheus`."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.local.ports import LOCALHOST, free_port
from deploy.local.servers import start_tethered, stop, wait_until

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "rules"


def installed(program: str) -> str:
    """Return the program's path; without it the test is skipped, with PARLEY_REQUIRE_PROMETHEUS it fails."""
    path = shutil.which(program)
    if path is None:
        missing = f"{program} is missing (on Debian: apt-get install prometheus)"
        if os.environ.get("PARLEY_REQUIRE_PROMETHEUS"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that answers."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query; raises ValueError with Prometheus' own words."""
        return list(self._get("query", {"query": expression})["result"])

    def label_values(self, metric: str, label: str) -> list[str]:
        """Return the values that `label` has on `metric`."""
        return list(self._get(f"label/{label}/values", {"match[]": metric}))

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health and, of alerts, what is active."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer['errorType']}: {answer['error']}")
        return answer["data"]


@contextmanager
def running_prometheus(directory: Path, target: str, metrics_path: str) -> Iterator[Prometheus]:
    """Run one that scrapes `target` (host:port) at `metrics_path`, with its data in `directory`."""
    program, port = installed("prometheus"), free_port()
    scrape = {"job_name": "parley", "metrics_path": metrics_path, "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "*.yaml")],
        "scrape_configs": [scrape],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    log = directory / "prometheus.log"
    process = start_tethered(
        [
            program,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={LOCALHOST}:{port}",
        ],
        log,
    )
    try:
        wait_until(lambda: _answers(f"http://{LOCALHOST}:{port}"), process, log, name="Prometheus")
        yield Prometheus(f"http://{LOCALHOST}:{port}")
    finally:
        stop(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run promtool."""
    command = [installed("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
