"""The topic ingest reads: its own, for the files of messages."""

from schemas.topics import MESSAGES_INBOUND
from services.chassis.delivery import Consumer
from services.ingest.fetching import Fetching

_WITH_FILES = b'"attachments":[{'
GROUP = "ingest.attachments"


def consumers(fetching: Fetching) -> list[Consumer]:
    """Return the table of consumers."""
    return [Consumer(MESSAGES_INBOUND, GROUP, fetching.learn, only=_WITH_FILES)]
