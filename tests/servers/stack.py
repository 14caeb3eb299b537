"""The whole local stack in a process of its own, as `make up` runs it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90.0
STOP_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack that is ready."""

    url: str
    environment: Mapping[str, str]
    """What commands for this stack need: PORT, DATA_DIR and the rest."""
    process: subprocess.Popen[str]

    def run(self, module: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of the local stack (`deploy.local.token`, …) against it."""
        return subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self) -> int:
        """Send SIGTERM and return the exit code; raises TimeoutExpired after 25 s."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_stack(data_dir: Path, **variables: str) -> Iterator[RunningStack]:
    """Run `python -m deploy.local.up` on a free port with `variables` as settings."""
    environment = {**os.environ, "DATA_DIR": str(data_dir), "PORT": "0", "PYTHONUNBUFFERED": "1", **variables}
    command = [sys.executable, "-m", "deploy.local.up"]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            url = _ready(process)
            known = {**environment, "PORT": url.rpartition(":")[2]}
            yield RunningStack(url, known, process)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Stop it in order: after a kill its servers are sometimes left behind."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _ready(process: subprocess.Popen[str]) -> str:
    lines: Queue[str] = Queue()
    Thread(target=_read, args=(process, lines), daemon=True).start()
    deadline, printed = monotonic() + READY_SECONDS, ""
    while "ready\n" not in printed or not printed.endswith("Ctrl-C stops everything.\n"):
        try:
            line = lines.get(timeout=max(0.0, deadline - monotonic()))
        except Empty:
            line = ""
        if not line:
            message = f"the stack is not ready: {printed}"
            raise RuntimeError(message)
        printed += line
    return printed.partition("ready\n")[2].partition("\n")[0]


def _read(process: subprocess.Popen[str], lines: "Queue[str]") -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.put(line)
    lines.put("")
