"""Runs a service whose consumers take their time: `python -m tests.system.slow services.<name>`.

Each batch takes up to SLOW_SECONDS longer, a part of it before its effects and a part after them, where
its offsets are not committed yet.
"""

import asyncio
import os
import random
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from services.chassis.delivery import Delivery
from services.chassis.stage import Stage


def main() -> None:
    """Serve the service named on the command line."""
    most, handle = float(os.environ["SLOW_SECONDS"]), Stage._handle  # noqa: SLF001  (the one place all batches pass)

    async def slowly(stage: Stage, kafka: Any, batch: list[Delivery]) -> Sequence[Any]:
        await asyncio.sleep(random.uniform(0, most / 2))  # noqa: S311  (a delay)
        fates = await handle(stage, kafka, batch)
        await asyncio.sleep(random.uniform(0, most / 2))  # noqa: S311  (a delay)
        return fates

    Stage._handle = slowly  # type: ignore[method-assign,assignment] # noqa: SLF001
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
