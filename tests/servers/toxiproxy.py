"""Toxiproxy between a client and a server: it delays, narrows, cuts and swallows what passes.

Built once from its Go module (https://github.com/Shopify/toxiproxy) into the cache of the work tree.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import LOCALHOST, free_port
from deploy.local.servers import start_tethered, stop, wait_until

VERSION = "v2.7.0"
"""The newest that Debian 12's Go 1.19 builds."""
_MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"
_PROGRAM = Path(__file__).resolve().parents[2] / ".cache" / f"toxiproxy-{VERSION}" / "server"


class ToxiproxyUnavailableError(Exception):
    """This machine can't build it. The text says what is missing."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One way to one server."""

    name: str
    port: int
    api: httpx.Client

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOCALHOST}:{self.port}"

    def poison(self, kind: str, **attributes: Any) -> None:
        """Add a toxic on the way back: `latency` (latency, ms), `bandwidth` (rate, kB/s), `timeout`, …"""
        body = {"name": kind, "type": kind, "stream": "downstream", "attributes": attributes}
        self.api.post(f"/proxies/{self.name}/toxics", json=body).raise_for_status()

    def cut(self) -> None:
        """Close all connections and take no more, as a server that is not there."""
        self._set(enabled=False)

    def heal(self) -> None:
        """Take away all toxics, and take connections again."""
        for toxic in self.api.get(f"/proxies/{self.name}/toxics").raise_for_status().json():
            self.api.delete(f"/proxies/{self.name}/toxics/{toxic['name']}").raise_for_status()
        self._set(enabled=True)

    def _set(self, *, enabled: bool) -> None:
        self.api.post(f"/proxies/{self.name}", json={"enabled": enabled}).raise_for_status()


@dataclass(frozen=True, slots=True)
class Toxiproxy:
    """The running server."""

    api: httpx.Client

    def proxy(self, name: str, upstream: str) -> Proxy:
        """Return a new way to `upstream` (`host:port`)."""
        port = free_port()
        body = {"name": name, "listen": f"{LOCALHOST}:{port}", "upstream": upstream, "enabled": True}
        self.api.post("/proxies", json=body).raise_for_status()
        return Proxy(name, port, self.api)


@contextmanager
def toxiproxy(directory: Path) -> Iterator[Toxiproxy]:
    """Run it with its log in `directory`; raises ToxiproxyUnavailableError where that can't be."""
    program, port, log = build(), free_port(), directory / "toxiproxy.log"
    process = start_tethered([str(program), "-host", LOCALHOST, "-port", str(port)], log)
    try:
        with httpx.Client(base_url=f"http://{LOCALHOST}:{port}", trust_env=False, timeout=10) as api:
            wait_until(lambda: _answers(api), process, log, name="Toxiproxy")
            yield Toxiproxy(api)
    finally:
        stop(process)


def _answers(api: httpx.Client) -> bool:
    try:
        return api.get("/version").is_success
    except httpx.TransportError:
        return False


def build() -> Path:
    """Return the program, built on the first call, whoever asks first."""
    _PROGRAM.parent.parent.mkdir(exist_ok=True)
    with (_PROGRAM.parent.parent / "toxiproxy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _PROGRAM.exists():
            return _PROGRAM
        go = shutil.which("go")
        if go is None:
            message = "building Toxiproxy needs Go (on Debian: apt-get install golang-go)"
            raise ToxiproxyUnavailableError(message)
        fresh = _PROGRAM.parent.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        result = subprocess.run(  # noqa: S603 - a fixed command of ours
            [go, "install", _MODULE],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "GOBIN": str(fresh), "GOFLAGS": "-modcacherw"},
        )
        if result.returncode != 0:
            message = f"Go could not build Toxiproxy: {result.stderr[-500:]}"
            raise ToxiproxyUnavailableError(message)
        fresh.rename(_PROGRAM.parent)
        return _PROGRAM
