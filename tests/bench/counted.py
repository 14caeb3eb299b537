"""A service whose database commands are counted: `python -m tests.bench.counted services.identity`.

The counts are exact, and the same on any machine. They are written to the file `COMMAND_COUNTS` names
whenever a SIGUSR1 asks for them, and begin anew then.
"""

import json
import os
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any

import bson
from pymongo import monitoring

_STATEMENTS = {"insert": "documents", "update": "updates", "delete": "deletes"}
_IGNORED = frozenset({"hello", "ping", "endSessions", "createIndexes", "listIndexes", "isMaster"})


class Counts(monitoring.CommandListener):
    """Counts by collection and command: round trips, statements, documents returned, bytes, microseconds."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._under_way: dict[int, str] = {}
        self._lock = Lock()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Count what is asked."""
        name = event.command_name
        if name in _IGNORED:
            return
        collection = event.command.get("collection" if name == "getMore" else name)
        place = f"{collection}.{name}"
        with self._lock:
            self._under_way[event.request_id] = place
            self._counts[place, "commands"] += 1
            self._counts[place, "statements"] += len(event.command.get(_STATEMENTS.get(name, ""), ())) or 1
            self._counts[place, "bytes"] += len(bson.encode(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Count what came back."""
        place = self._under_way.pop(event.request_id, None)
        if place is None:
            return
        cursor = event.reply.get("cursor", {})
        found = len(cursor.get("firstBatch", cursor.get("nextBatch", ())))
        with self._lock:
            self._counts[place, "documents"] += found
            self._counts[place, "bytes"] += len(bson.encode(event.reply))
            self._counts[place, "microseconds"] += event.duration_micros

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Count it as failed."""
        place = self._under_way.pop(event.request_id, None)
        if place is not None:
            with self._lock:
                self._counts[place, "failures"] += 1

    def write(self, path: Path) -> None:
        """Write the counts since the last time, all at once."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        found: dict[str, dict[str, int]] = {}
        for (place, what), count in sorted(counts.items()):
            found.setdefault(place, {})[what] = count
        fresh = path.with_suffix(".part")
        fresh.write_text(json.dumps(found))
        fresh.rename(path)


def counts_of(variable: str, pid: int) -> Path:
    """Return where a process writes its counts; `{pid}` in the variable stands for its id."""
    return Path(variable.replace("{pid}", str(pid)))


def ask(pid: int, path: Path, seconds: float = 10.0) -> dict[str, dict[str, int]]:
    """Return what a process has counted since it was last asked; raises TimeoutError."""
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    deadline = monotonic() + seconds
    while not path.exists():
        if monotonic() > deadline:
            raise TimeoutError(f"process {pid} did not write {path.name}")
        sleep(0.01)
    counts: dict[str, dict[str, int]] = json.loads(path.read_text())
    return counts


def main(module: str) -> None:
    """Run `module` as its own `__main__`."""
    counts = Counts()
    monitoring.register(counts)
    path = counts_of(os.environ["COMMAND_COUNTS"], os.getpid())

    def write(*_: Any) -> None:
        counts.write(path)

    signal.signal(signal.SIGUSR1, write)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
