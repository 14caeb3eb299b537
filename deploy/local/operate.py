"""Runs an operator's command (`python -m …`) on the local stack of this DATA_DIR, if one has run.

What the environment says counts before it: with KAFKA_BOOTSTRAP_SERVERS or MONGO_URL the command is about
those servers, and nothing of the stack's is used.
"""

import os
import sys

from deploy.local.keys import NoStackError, StackKeys
from deploy.local.stack import Stack

_SERVERS = ("KAFKA_BOOTSTRAP_SERVERS", "MONGO_URL")


def environment() -> dict[str, str]:
    """Return what the command has to know of the stack; nothing if other servers are meant, or none ran."""
    if any(os.environ.get(name) for name in _SERVERS):
        return {}
    stack = Stack.from_environment()
    known = stack.known()
    try:
        secret = StackKeys.load(stack.data_dir).secret_for("customer keys")
    except NoStackError:
        return {}
    return {"CUSTOMER_KEYS_SECRET": secret, **{name: known[name] for name in _SERVERS if name in known}}


def main(arguments: list[str]) -> None:
    """Become the command."""
    os.environ.update(environment())
    os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606  (ours, from the Makefile)


if __name__ == "__main__":
    main(sys.argv[1:])
