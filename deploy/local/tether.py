"""Run a command that gets SIGTERM when the process that started it dies, however it dies.

`python tether.py <parent pid> <command> [arguments…]`, run as a file with the standard library
only, so that it costs some 20 ms. Linux's PR_SET_PDEATHSIG (prctl(2)) survives the exec; elsewhere
the command simply runs.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Replace this process by `command`, tied to the life of `parent`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we were tied to it
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - a fixed command of ours, no shell wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
