"""Which environment variables mean something to a command of the image."""

import importlib
import inspect

from services.chassis.inboxes import _FROM_ENVIRONMENT
from services.chassis.settings import Settings, TopicSettings

TOPICS_COMMAND = "services.chassis.topics"


def known_to(module: str) -> frozenset[str]:
    """Return the variables that `python -m <module>` reads: `services.<name>` or the topics command."""
    if module == TOPICS_COMMAND:
        return frozenset(name.upper() for name in TopicSettings.model_fields)
    settings = importlib.import_module(f"{module}.settings")
    kinds = [
        kind
        for _, kind in inspect.getmembers(settings, inspect.isclass)
        if issubclass(kind, Settings) and kind is not Settings
    ]
    return frozenset(name.upper() for kind in kinds for name in kind.model_fields) | set(
        _FROM_ENVIRONMENT.values()
    )


def drain_seconds(variables: dict[str, str]) -> float:
    """Return how long consumers may take after HTTP has ended, with `variables` set."""
    default = Settings.model_fields["drain_timeout_seconds"].default
    return float(variables.get("DRAIN_TIMEOUT_SECONDS", default)) + 1
