"""conversation's rules and the router's engine together, over a log that repeats and delays.

Whatever happens in whatever order: no Agent above capacity, one holder a Conversation; and once all
records have arrived, both sides agree on who has what.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas import ids
from schemas import routing as contract
from schemas.common import Channel, channel_class
from schemas.conversations import Status
from schemas.envelope import Envelope
from services.conversation.domain import lifecycle, replies, routing
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread
from services.conversation.domain.rules import ATTACH, ROUTE
from services.conversation.domain.table import ALLOWED, Action
from services.conversation.domain.timers import next_due, tick
from services.router.domain.engine import Tick, step
from services.router.domain.policy import InboxPolicy, Policy, Relaxation
from services.router.domain.pool import Pool
from services.router.domain.state import PoolState
from tests.unit.conversation.builders import INBOXES, START, message

AGENTS = ("ana", "ben", "cleo")
CUSTOMERS = ("c1", "c2", "c3", "c4", "c5", "c6")
CHANNELS = (Channel.SMS, Channel.WHATSAPP, Channel.EMAIL, Channel.CHAT)
AT_FIRST = {"ana": ("support",), "ben": ("support", "fallback"), "cleo": ("fallback",)}
POLICY = Policy(
    inboxes={
        "support": InboxPolicy(
            relaxation=(Relaxation(20, inboxes=("fallback",)), Relaxation(60, lower=1)), fallback="fallback"
        )
    }
)
CAPACITY = contract.Capacity(total=2, messaging=2, email=1)


class System(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.threads = {customer: Thread(customer_id=customer) for customer in CUSTOMERS}
        self.pool = Pool(PoolState("main", POLICY))
        self.commands: list[Envelope] = []
        self.decisions: list[Envelope] = []
        self.old_commands: list[Envelope] = []
        self.old_decisions: list[Envelope] = []
        self.messages: dict[str, Any] = {}
        self.forced: set[str] = set()
        self.count = 0
        for agent in AGENTS:
            self.command_agent(
                contract.AgentProfile, agent, inboxes=AT_FIRST[agent], capacity=CAPACITY, skills={"french": 1}
            )

    # --- plumbing -------------------------------------------------------------------------------

    def number(self) -> int:
        self.count += 1
        return self.count

    def command_agent(self, model: type[Envelope], agent: str, **fields: Any) -> None:
        own = ids.derive("command", self.number())
        content: dict[str, Any] = {"data": {"pool": "main", "agent": agent, "actor": agent, **fields}}
        if model is contract.AgentProfile:
            content["personal"] = {"name": agent.title()}
        self.commands.append(model(id=own, occurred_at=self.now, correlation=own, **content))

    def change(self, customer: str, cause: Any, decide: Callable[[Draft], object]) -> None:
        draft = Draft(self.threads[customer], cause, cause, self.now, customer)
        decide(draft)
        self.threads[customer] = draft.thread
        for item in draft.caused:
            if isinstance(item, Envelope) and item.type.startswith("routing."):
                self.commands.append(item)

    def act(self, customer: str, action: Action, apply: Callable[[Draft], object]) -> None:
        current = self.threads[customer].current
        if current is not None and current.status in ALLOWED[action]:
            self.change(customer, ids.derive("command", self.number()), apply)

    def route(self, given: Any) -> None:
        self.decisions += [item for item in step(self.pool, given, self.now).decisions if item.customer_id]

    def decide(self, decision: Envelope) -> None:
        assert decision.customer_id is not None
        self.change(
            decision.customer_id, decision.id, lambda draft: ROUTE.decide(draft, decision, None, INBOXES)
        )

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

    @rule(agent=st.sampled_from(AGENTS), on=st.booleans())
    def sign(self, agent: str, *, on: bool) -> None:
        self.command_agent(contract.AgentAvailability, agent, channels=dict.fromkeys(CHANNELS, on))

    @rule(seconds=st.sampled_from([1, 31, 70, 1000, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def timers_fire(self) -> None:
        for customer, thread in self.threads.items():
            due = next_due(thread, INBOXES)
            if due is not None and due <= self.now:
                cause = ids.derive("timer", self.number())
                self.change(customer, cause, lambda draft: tick(draft, INBOXES))
        self.route(Tick())

    # --- what the log does ----------------------------------------------------------------------

    @precondition(lambda self: self.commands)
    @rule()
    def router_handles_a_command(self) -> None:
        command = self.commands.pop(0)
        if command.type.startswith("routing."):
            self.old_commands.append(command)
        self.route(command)

    @precondition(lambda self: self.decisions)
    @rule()
    def conversation_handles_a_decision(self) -> None:
        decision = self.decisions.pop(0)
        self.old_decisions.append(decision)
        self.decide(decision)

    @precondition(lambda self: self.old_commands)
    @rule(data=st.data())
    def a_command_is_published_again(self, data: st.DataObject) -> None:
        self.commands.append(data.draw(st.sampled_from(self.old_commands)))

    @precondition(lambda self: self.old_decisions)
    @rule(data=st.data())
    def a_decision_is_published_again(self, data: st.DataObject) -> None:
        self.decisions.append(data.draw(st.sampled_from(self.old_decisions)))

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def no_agent_is_above_capacity(self) -> None:
        for agent in set(AGENTS) - self.forced:
            held = [
                item.slot
                for item in self.pool.state.standings.values()
                if item.slot and item.slot.agent == agent
            ]
            assert len(held) <= CAPACITY.total
            assert sum("email" in slot.need.classes for slot in held) <= CAPACITY.email
            assert sum("messaging" in slot.need.classes for slot in held) <= CAPACITY.messaging

    @invariant()
    def an_open_conversation_has_an_agent_and_a_new_one_none(self) -> None:
        for thread in self.threads.values():
            if thread.current is not None:
                assert thread.current.status is not Status.OPEN or thread.current.agent
                assert thread.current.status is not Status.NEW or thread.current.agent is None

    def teardown(self) -> None:
        """In the end all Agents are there, with room for all: everyone who waits is served."""
        room = contract.Capacity(total=50, messaging=50, email=50)
        for agent in AGENTS:
            self.command_agent(
                contract.AgentProfile,
                agent,
                inboxes=("support", "fallback"),
                capacity=room,
                skills={"french": 3},
            )
            self.command_agent(contract.AgentAvailability, agent, channels=dict.fromkeys(CHANNELS, True))
        for _ in range(3):
            self.come_to_rest()
            self.now += timedelta(seconds=100)
            self.route(Tick())
        self.come_to_rest()
        for thread in self.threads.values():
            if thread.current is not None:
                self.check_agreement(thread)

    def come_to_rest(self) -> None:
        for _ in range(2_000):
            if self.commands:
                self.router_handles_a_command()
            elif self.decisions:
                self.conversation_handles_a_decision()
            else:
                return
        raise AssertionError("the two never come to rest")

    def check_agreement(self, thread: Thread) -> None:
        current = thread.current
        assert current is not None
        standing = self.pool.state.standings.get(current.id)
        slot = standing.slot if standing else None
        assert standing is None or standing.request is None
        if current.status is not Status.OPEN:
            assert current.status is not Status.NEW
            assert slot is None
            return
        assert slot is not None
        assert (slot.agent, slot.epoch) == (current.agent, current.routing.current)
        if slot.grant.data.reason == "push":
            assert current.inbox == slot.need.inbox
            assert current.inbox in self.pool.state.agents[slot.agent].inboxes
        assert {channel_class(contact.channel) for contact in current.live_contacts} <= set(slot.need.classes)


System.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestSystem = System.TestCase
