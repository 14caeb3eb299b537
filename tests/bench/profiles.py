"""Profiles by sampling from outside (py-spy): no instrumentation, so what is measured stays as it is.

py-spy reads another process' memory: on Linux that takes root, or ptrace_scope 0. Without it a bench
measures all the same, and a line says why there is no profile.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_PY_SPY = Path(sys.executable).parent / "py-spy"
_SAMPLES_PER_SECOND = "200"
_STOP_SECONDS = 20.0
_MOST_LINES = 40


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used so far; hardly moved by what else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def profiled(directory: Path, name: str, pid: int | None = None) -> AsyncIterator[None]:
    """Sample process `pid` (this one, if None) while the block runs.

    Leaves `<name>.stacks`, one line a stack with its number of samples, as flame graph tools and
    speedscope.app read it, and `<name>.txt`: where the time went, by function and by package.
    """
    stacks = directory / f"{name}.stacks"
    command = [str(_PY_SPY), "record", "--pid", str(pid or os.getpid()), "--rate", _SAMPLES_PER_SECOND]
    command += ["--format", "raw", "--threads", "--nolineno", "--output", str(stacks)]
    if not _PY_SPY.exists():
        sys.stderr.write(f"no profile of {name}: py-spy is not installed\n")
        yield
        return
    sampler = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield
    finally:
        if sampler.returncode is None:
            sampler.send_signal(2)  # SIGINT: it writes what it has
        _, errors = await asyncio.wait_for(sampler.communicate(), _STOP_SECONDS)
        if sampler.returncode == 0 and stacks.exists():
            (directory / f"{name}.txt").write_text(summary(stacks.read_text(), pid or os.getpid()))
        else:
            sys.stderr.write(f"no profile of {name}: {errors.decode(errors='replace')[-300:]}\n")


def summary(stacks: str, pid: int) -> str:
    """Return the shares of packages and functions, with and without callees of the main thread."""
    total, own, within, packages = 0, Counter[str](), Counter[str](), Counter[str]()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if (f"({pid})" not in thread and "MainThread" not in thread) or not frames:
            continue
        samples = int(count)
        total += samples
        own[frames[-1]] += samples
        packages[_package(frames[-1])] += samples
        for frame in set(frames):
            within[frame] += samples
    parts = [f"{total} samples\n"]
    for heading, shares in (("by package", packages), ("by function", own), ("with callees", within)):
        parts += [f"\n{heading}\n", *_lines(shares, total)]
    return "".join(parts)


def _lines(shares: Counter[str], total: int) -> list[str]:
    return [f"{count / max(total, 1):6.1%}  {name}\n" for name, count in shares.most_common(_MOST_LINES)]


def _package(frame: str) -> str:
    """Return the first two parts of a frame's path below the site or work directory."""
    path = frame.partition("(")[2].rstrip(")").partition(":")[0]
    parts = path.rpartition("site-packages/")[2].split("/")
    return "/".join(parts[:2]) if len(parts) > 1 else path or frame
