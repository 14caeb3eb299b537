"""What is fuzzed, one row each; rows of providers come from the registries."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from services.ingest.channels.registry import PROVIDERS
from tests.fuzz import answers, mails, webhooks

MOST_SECONDS = 1.0
"""Processor time that any input may take."""
MOST_BYTES = 100_000
"""Longest input."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is checked of any input, and inputs to begin with."""

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    head_lines: int = 0
    """Lines before the part that may be JSON."""

    def try_one(self, data: bytes) -> None:
        """Raise whatever is wrong with how `data` is taken."""
        started = time.thread_time()
        self.check(data)
        taken = time.thread_time() - started
        assert taken <= MOST_SECONDS, f"took {taken:.1f} s"


TARGETS: Mapping[str, Target] = {
    **{
        name: Target(partial(webhooks.check, name), partial(webhooks.seeds, name), head_lines=2)
        for name in PROVIDERS
    },
    "mail": Target(mails.read_mail, mails.mail_seeds),
    "quotes": Target(mails.split_mail, mails.text_seeds),
    "html": Target(mails.clean_html, mails.html_seeds),
    "identifiers": Target(mails.name_somebody, mails.identifier_seeds),
    **{
        f"answers-{name}": Target(partial(answers.check, name), partial(answers.seeds, name), head_lines=1)
        for name in answers.providers()
    },
}
