"""The operator's rules between conversation and the router: whatever they do, both sides agree in the end."""

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis.stateful import rule

from schemas import ids
from services.conversation.domain.draft import Draft
from services.conversation.domain.ruling.matching import next_due
from services.conversation.domain.ruling.run import run
from tests.unit.conversation.ruled import MEANS, rules
from tests.unit.system.test_conversation_and_router import System

RULES = rules("""
- {name: mails, when: [opened, reopened], if: {channel: email}, then: {inbox: fallback}}
- {name: urgent, when: opened, if: {channel: sms}, then: {priority: 3}}
- {name: moved, when: message, every: true, if: {channel: chat, inbox: support}, then: {inbox: fallback}}
- name: back
  when: message
  every: true
  if: {channel: sms, inbox: fallback}
  then: {inbox: support, priority: 1}
- {name: at-once, when: assigned, every: true, if: {channel: whatsapp, inbox: fallback}, then: {close: true}}
- {name: spam, when: opened, if: {channel: whatsapp}, then: {priority: 2, close: true}}
- name: old
  when: age
  after: 20m
  since: status
  every: true
  if: {status: [open, waiting]}
  then: {inbox: support}
- {name: older, when: age, after: 5h, then: {close: true}}
""")


class Ruled(System):
    """The same, with rules at the end of each change."""

    def change(self, customer: str, cause: Any, decide: Callable[[Draft], object]) -> None:
        before = self.threads[customer]

        def decided(draft: Draft) -> None:
            decide(draft)
            run(draft, before, RULES, MEANS)
            identities = [item.id for item in draft.caused]
            assert len(set(identities)) == len(identities)

        super().change(customer, cause, decided)

    @rule()
    def rules_of_age_fire(self) -> None:
        for customer, thread in self.threads.items():
            due = next_due(thread.current, RULES)
            if due is not None and due <= self.now:
                cause = ids.derive("aged", self.number())
                super().change(
                    customer, cause, lambda draft: run(draft, draft.thread, RULES, MEANS, ticking=True)
                )


Ruled.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestRuled = Ruled.TestCase
