"""One stack a data directory: a lock that the kernel frees when its last holder is gone."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_SECONDS = 15.0
"""How long the servers of a killed run may take to end by themselves."""


class DirectoryInUseError(Exception):
    """Another stack uses the data directory. The text names the directory and the process."""


@contextmanager
def hold(directory: Path, seconds: float = WAIT_SECONDS) -> Iterator[int]:
    """Lock `directory` for this process and those that inherit the descriptor it gives.

    Waits up to `seconds` for a holder to end, then raises DirectoryInUseError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, directory, seconds)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, directory: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _alive(descriptor) or time.monotonic() > deadline:
                raise DirectoryInUseError(_explain(descriptor, directory)) from None
            time.sleep(0.1)
        else:
            return


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 20, 0).decode(errors="replace")
    return int(text) if text.isdecimal() else None


def _alive(descriptor: int) -> bool:
    holder = _holder(descriptor)
    if holder is None:
        return False
    try:
        os.kill(holder, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _explain(descriptor: int, directory: Path) -> str:
    return (
        f"the data directory {directory} is in use by another stack (process {_holder(descriptor)}, or "
        f"servers it left behind); stop it, or choose another directory: DATA_DIR=… make up"
    )
