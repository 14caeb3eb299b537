"""`python -m tests.system.broken_conversation`: conversation with a rule that fails for every message."""

import runpy
from typing import Any, NoReturn

from services.conversation.domain import rules


def _broken(draft: Any, message: Any, _: Any) -> NoReturn:
    raise LookupError(f"{draft.thread.customer_id} wrote {message.personal.text}")


if __name__ == "__main__":
    rules.receive = _broken  # type: ignore[assignment]
    runpy.run_module("services.conversation", run_name="__main__")
