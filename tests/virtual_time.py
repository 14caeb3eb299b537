"""An event loop whose clock jumps to the next timer, so that hours of waiting take no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


_STEP = 1e-6
"""Seconds that a round takes at least: whoever waits for a moment that rounding puts off gets there."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting it lets time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen")
        self.now += max(timeout, _STEP)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s."""

    def __init__(self) -> None:
        self._instant = _Selector()
        super().__init__(self._instant)

    def time(self) -> float:
        """Return the virtual seconds since the start."""
        return self._instant.now


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
