"""What processes cost: processor time and memory, as Linux tells (proc(5))."""

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SERVERS = {"secantus": "mongo", "kafka.Kafka": "kafka"}


def processor_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_megabytes(pid: int) -> float:
    """Return the memory a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def servers() -> dict[str, int]:
    """Return the process ids of the servers that this process started, by name."""
    found: dict[str, int] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            command = (directory / "cmdline").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid():
            found |= {name: int(directory.name) for mark, name in _SERVERS.items() if mark in command}
    return found


class Cost:
    """Processor time of several processes since the last look."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before: dict[str, float] = {}
        self.lap()

    def lap(self) -> dict[str, float]:
        """Return the seconds each has used since the last time."""
        now = {name: processor_seconds(pid) for name, pid in self._pids.items()}
        used = {name: now[name] - self._before.get(name, 0.0) for name in now}
        self._before = now
        return used
