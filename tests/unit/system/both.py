"""conversation's rules and the router's engine, and between them a log that repeats and delays."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas import ids
from schemas import routing as contract
from schemas.common import Channel, channel_class
from schemas.conversations import Status
from schemas.envelope import Envelope
from schemas.tasks import TaskStatus
from services.conversation.domain.draft import Draft
from services.conversation.domain.model import Thread
from services.conversation.domain.rules import ROUTE
from services.conversation.domain.table import ALLOWED, Action
from services.conversation.domain.task import Task
from services.conversation.domain.timers import next_due, tick
from services.router.domain.engine import Tick, step
from services.router.domain.policy import InboxPolicy, Policy, Relaxation
from services.router.domain.pool import Pool
from services.router.domain.state import PoolState
from tests.unit.conversation.builders import INBOXES, START

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
CAPACITY = contract.Capacity(total=2, messaging=2, email=1, tasks=1)


class Both(RuleBasedStateMachine):
    """The two; what happens to them is for the machines made of it."""

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
        self.finished: list[tuple[str, Task]] = []
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

    def sign_on(self, agent: str, *, on: bool = True) -> None:
        self.command_agent(contract.AgentAvailability, agent, channels=dict.fromkeys(CHANNELS, on))

    def change(self, customer: str, cause: Any, decide: Callable[[Draft], object]) -> None:
        draft = Draft(self.threads[customer], cause, cause, self.now, customer)
        decide(draft)
        self.threads[customer] = draft.thread
        kept = [each for each in draft.kept.values() if isinstance(each, Task)]
        self.finished += [(customer, each) for each in kept if each.status is not TaskStatus.OPEN]
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

    # --- Agents and time

    @rule(agent=st.sampled_from(AGENTS), on=st.booleans())
    def sign(self, agent: str, *, on: bool) -> None:
        self.sign_on(agent, on=on)

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

    @precondition(lambda self: self.commands or self.decisions)
    @rule()
    def all_arrives(self) -> None:
        self.come_to_rest()

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
            assert sum("tasks" in slot.need.classes for slot in held) <= CAPACITY.tasks

    @invariant()
    def an_open_conversation_has_an_agent_and_a_new_one_none(self) -> None:
        for thread in self.threads.values():
            if thread.current is not None:
                assert thread.current.status is not Status.OPEN or thread.current.agent
                assert thread.current.status is not Status.NEW or thread.current.agent is None

    def teardown(self) -> None:
        """In the end all Agents are there, with room for all: everyone who waits is served."""
        room = contract.Capacity(total=90, messaging=50, email=50, tasks=50)
        for agent in AGENTS:
            self.command_agent(
                contract.AgentProfile,
                agent,
                inboxes=("support", "fallback"),
                capacity=room,
                skills={"french": 3},
            )
            self.sign_on(agent)
        for _ in range(3):
            self.come_to_rest()
            self.now += timedelta(seconds=100)
            self.route(Tick())
        self.come_to_rest()
        for thread in self.threads.values():
            if thread.current is not None:
                self.check_agreement(thread)
            for task in thread.tasks:
                self.check_task(task)
        for _, task in self.finished:
            standing = self.pool.state.standings.get(task.id)
            assert standing is None or standing.held_epoch is None

    def come_to_rest(self) -> None:
        for _ in range(2_000):
            if self.commands:
                self.router_handles_a_command()
            elif self.decisions:
                self.conversation_handles_a_decision()
            else:
                return
        raise AssertionError("the two never come to rest")

    def check_task(self, task: Task) -> None:
        standing = self.pool.state.standings.get(task.id)
        slot = standing.slot if standing else None
        assert standing is None or standing.request is None
        if task.proposed:
            assert slot is None
        else:
            assert slot is not None
            assert (slot.agent, slot.epoch) == (task.agent, task.routing.current)

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
