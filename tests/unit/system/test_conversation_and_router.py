"""conversation's rules and the router's engine together, over a log that repeats and delays.

Whatever happens in whatever order: no Agent above capacity, one holder a Conversation; and once all
records have arrived, both sides agree on who has what.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from schemas import ids
from schemas import routing as contract
from schemas.common import Channel
from services.conversation.domain import lifecycle, replies, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.rules import ATTACH
from services.conversation.domain.table import Action
from tests.unit.conversation.builders import INBOXES, START, message
from tests.unit.system.both import AGENTS, CAPACITY, CHANNELS, CUSTOMERS, Both


class System(Both):
    # --- what can happen ------------------------------------------------------------------------

    @rule(customer=st.sampled_from(CUSTOMERS), channel=st.sampled_from(CHANNELS))
    def customer_writes(self, customer: str, channel: Channel) -> None:
        seconds = (self.now - START).total_seconds()
        item = message(self.number(), seconds=seconds, customer=customer, channel=channel)
        self.change(customer, item.id, lambda draft: ATTACH.decide(draft, item, None, INBOXES))

    @rule(customer=st.sampled_from(CUSTOMERS), agent=st.sampled_from(AGENTS))
    def agent_replies(self, customer: str, agent: str) -> None:
        routes = self.threads[customer].routes
        if routes:
            channel = max(routes, key=lambda name: (routes[name].at, name))
            own = ids.derive("reply", self.number())
            self.act(
                customer,
                Action.REPLY,
                lambda draft: replies.reply(
                    draft, message_id=own, agent=agent, channel=channel, route=routes[channel], text="Hello"
                ),
            )

    @rule(customer=st.sampled_from(CUSTOMERS))
    def close(self, customer: str) -> None:
        self.act(customer, Action.CLOSE, lambda draft: lifecycle.close(draft, confirmed=None))

    @rule(customer=st.sampled_from(CUSTOMERS), agent=st.sampled_from(AGENTS))
    def reopen(self, customer: str, agent: str) -> None:
        self.act(customer, Action.REOPEN, lambda draft: lifecycle.reopen(draft, agent=agent))

    @rule(customer=st.sampled_from(CUSTOMERS))
    def no_reply_needed(self, customer: str) -> None:
        self.act(customer, Action.NO_REPLY_NEEDED, lifecycle.no_reply_needed)

    @rule(customer=st.sampled_from(CUSTOMERS))
    def unassign(self, customer: str) -> None:
        self.act(customer, Action.UNASSIGN, lifecycle.unassign)

    @rule(customer=st.sampled_from(CUSTOMERS), priority=st.integers(0, 2))
    def prioritise(self, customer: str, priority: int) -> None:
        self.act(customer, Action.PRIORITY, lambda draft: lifecycle.set_priority(draft, priority))

    @rule(customer=st.sampled_from(CUSTOMERS), inbox=st.sampled_from(["support", "fallback"]))
    def transfer_to_inbox(self, customer: str, inbox: str) -> None:
        self.act(
            customer,
            Action.TRANSFER,
            lambda draft: lifecycle.transfer_to_inbox(draft, INBOXES[inbox], by="lea"),
        )

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        agent=st.sampled_from((*AGENTS, "nobody")),
        take=st.booleans(),
        force=st.booleans(),
    )
    def assign(self, customer: str, agent: str, *, take: bool, force: bool) -> None:
        if force:
            self.forced.add(agent)
        action, reason = (Action.TAKE, "take") if take else (Action.TRANSFER, "transfer")
        self.act(customer, action, lambda draft: routing.assign(draft, agent, reason, force=force))

    @rule(agent=st.sampled_from(AGENTS), inboxes=st.sampled_from([("support",), ("fallback",)]))
    def join(self, agent: str, inboxes: tuple[str, ...]) -> None:
        self.command_agent(contract.AgentProfile, agent, inboxes=inboxes, capacity=CAPACITY)

    @rule(customer=st.sampled_from(CUSTOMERS), level=st.integers(0, 3))
    def needs_french(self, customer: str, level: int) -> None:
        """As a caller's choice does."""

        def ask(draft: Draft) -> None:
            draft.change(skills={"french": level} if level else {})

        if self.threads[customer].current is not None:
            self.change(customer, ids.derive("skills", self.number()), ask)


System.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestSystem = System.TestCase
