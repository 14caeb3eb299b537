"""The engine under random commands in random order: what must always hold, holds."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.common import Channel, ChannelClass
from schemas.envelope import Envelope
from schemas.routing import AgentChanged, RoutingGranted, RoutingOffered
from services.router.domain import snapshot
from services.router.domain.candidates import exclusion, is_rejected, waits_for_preferred
from services.router.domain.crews import rank_of
from services.router.domain.engine import Input, NewPolicy, TakeOver, Tick, step
from services.router.domain.fitness import paused
from services.router.domain.hopes import Hopes, hope_of
from services.router.domain.policy import InboxPolicy, Policy, Relaxation
from services.router.domain.pool import Pool
from services.router.domain.queues import Place, line, place
from services.router.domain.state import PoolState, Request
from services.router.domain.waiting import next_look, told, words
from tests.unit.router import commands
from tests.unit.router.commands import POOL, START

AGENTS = ("ana", "ben", "cleo")
CONVERSATIONS = tuple(f"c{number}" for number in range(9))
agents = st.sampled_from(AGENTS)
conversations = st.sampled_from(CONVERSATIONS)
channels = st.sampled_from([Channel.VOICE, Channel.SMS, Channel.CHAT, Channel.EMAIL])
small = st.integers(0, 2)
limits = st.fixed_dictionaries(
    {"total": st.integers(0, 4), "voice": small, "messaging": small, "email": small}
)
inboxes = st.sampled_from(["support", "billing"])
POLICIES = (
    Policy(),
    Policy(
        ask_again_seconds=20,
        defaults=InboxPolicy(
            choice="round_robin",
            targets={ChannelClass.MESSAGING: 30},
            ageing_seconds=20,
            ageing_limit=3,
            wrap_up_seconds=5,
        ),
        inboxes={
            "support": InboxPolicy(
                choice="most_proficient",
                relaxation=(
                    Relaxation(5, lower=1),
                    Relaxation(40, inboxes=("billing",), priority=1),
                    Relaxation(50, drop=("billing",)),
                ),
                fallback="billing",
            )
        },
    ),
    Policy(
        defaults=InboxPolicy(
            choice="longest_idle", starving_seconds=60, preferred_grace_seconds=0, wrap_up_seconds=30
        ),
        inboxes={"support": InboxPolicy(fallback="billing", ageing_seconds=3)},
    ),
)
APART = {
    ChannelClass.EMAIL: (ChannelClass.MESSAGING,),
    ChannelClass.MESSAGING: (ChannelClass.EMAIL,),
}
CLASS_OF = {Channel.VOICE: ChannelClass.VOICE, Channel.EMAIL: ChannelClass.EMAIL}


class EngineMachine(RuleBasedStateMachine):
    """Sends anything at any time, and knows which Conversations must not be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(PoolState(POOL))
        self.pool.crews.most = 3  # so that some are given up; the replay at the end keeps all of them
        self.now = START
        self.journal: list[tuple[Input, Any]] = []
        self.decided: list[Envelope] = []
        self.newest = dict.fromkeys(CONVERSATIONS, 0)
        self.wanted: dict[str, int] = {}

    def send(self, given: Input) -> tuple[Envelope, ...]:
        self.journal.append((given, self.now))
        before = {key: self.request_of(key) for key in self._waiting()}
        known = self.pool.state.decided
        decisions = step(self.pool, given, self.now).decisions
        self.decided += decisions
        for decision in decisions:
            if isinstance(decision, RoutingOffered):
                self._check_peace(decision)
            if isinstance(decision, RoutingGranted | RoutingOffered) and decision.data.n > known:
                self._check_room(decision)
                self._check_first_come(decision, before)
        return decisions

    def _waiting(self) -> dict[str, Place]:
        return {
            key: place(key, standing.request)
            for key, standing in self.pool.state.standings.items()
            if standing.request and not standing.request.offer
        }

    def request_of(self, conversation: str) -> Request:
        request = self.pool.state.standings[conversation].request
        assert request is not None
        return request

    def _check_peace(self, decision: RoutingOffered) -> None:
        standing = self.pool.state.standings[decision.data.conversation_id]
        if standing.request and standing.request.offer and standing.request.offer.reason == "push":
            assert paused(self.pool.state.agents[decision.data.agent]) is None

    def _check_room(self, decision: RoutingGranted | RoutingOffered) -> None:
        if isinstance(decision, RoutingGranted) and decision.data.forced:
            return
        agent = self.pool.state.agents[decision.data.agent]
        hand = self.pool.hands[agent.id]
        assert hand.total <= agent.capacity.total
        for name in hand.held.get(decision.data.conversation_id, ()):
            assert hand.counts[name] <= getattr(agent.capacity, name)
        if agent.voice_alone and hand.counts[ChannelClass.VOICE]:
            assert hand.total == 1
        for held, barred in agent.excludes.items():
            got = hand.held.get(decision.data.conversation_id, ())
            if any(name in barred for name in got):
                assert not hand.counts[held] - (held in got)

    def _check_first_come(
        self, decision: RoutingGranted | RoutingOffered, before: dict[str, Request]
    ) -> None:
        if isinstance(decision, RoutingGranted) and decision.data.reason != "push":
            return
        key, agent = decision.data.conversation_id, decision.data.agent
        if key not in before:
            return
        served = before[key]
        for other, where in self._waiting().items():
            request = self.pool.state.standings[other].request
            assert request is not None
            if other not in before or (request.inboxes, line(request)) != (served.inboxes, line(served)):
                continue
            assert (
                where > place(key, served)
                or is_rejected(request, agent, self.pool.now)
                or waits_for_preferred(self.pool, other, request)
            )

    # --- what happens ---------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0, 0.5, 3, 10, 31, 46, 61, 700]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.send(Tick())

    @rule(
        agent=agents,
        limits=limits,
        asked=st.booleans(),
        alone=st.booleans(),
        skilled=small,
        both=st.booleans(),
        apart=st.booleans(),
        most=st.none() | st.integers(1, 2),
    )
    def profile(
        self,
        agent: str,
        limits: dict[str, int],
        skilled: int,
        most: int | None,
        *,
        asked: bool,
        alone: bool,
        both: bool,
        apart: bool,
    ) -> None:
        self.send(
            commands.profile(
                agent,
                inboxes=("support", "billing") if both else ("billing" if apart else "support",),
                capacity=limits,
                skills={"billing": skilled},
                voice_alone=alone,
                auto_accept={ChannelClass.MESSAGING: not asked},
                excludes=APART if apart else {},
                pull_limit=most,
            )
        )

    @rule(
        agent=agents, chosen=st.lists(channels, max_size=3), on=st.booleans(), focus=st.none() | st.booleans()
    )
    def availability(self, agent: str, chosen: list[Channel], *, on: bool, focus: bool | None) -> None:
        self.send(commands.available(agent, *chosen, on=on, focus=focus))

    @rule(policy=st.sampled_from(POLICIES))
    def policy_changes(self, policy: Policy) -> None:
        waited = {key: self.request_of(key) for key in self._waiting()}
        ages = {key: (each.since, each.arrival) for key, each in waited.items()}
        self.send(NewPolicy(policy))
        for key, age in ages.items():
            assert (waited[key].since, waited[key].arrival) == age

    @rule(agent=agents)
    def heartbeat(self, agent: str) -> None:
        self.send(commands.heartbeat(agent, at=self.now))

    @rule(agent=agents)
    def pull(self, agent: str) -> None:
        self.send(commands.pull(agent))

    @rule(
        conversation=conversations,
        channel=channels,
        priority=small,
        skill=small,
        preferred=st.none() | agents,
        inbox=inboxes,
        older=st.booleans(),
    )
    def request(
        self,
        conversation: str,
        channel: Channel,
        priority: int,
        skill: int,
        preferred: str | None,
        inbox: str,
        *,
        older: bool,
    ) -> None:
        self.newest[conversation] += 1
        self.wanted[conversation] = self.newest[conversation]
        self.send(
            commands.request(
                conversation,
                self.newest[conversation],
                channel=channel,
                priority=priority,
                skills={"billing": skill} if skill else {},
                preferred_agent=preferred,
                inbox=inbox,
                requested_at=START if older else self.now,
            )
        )

    @rule(conversation=conversations, back=small)
    def request_again(self, conversation: str, back: int) -> None:
        """Repeat an epoch; one that was refused, or is forgotten, is new to the pool."""
        epoch = max(self.newest[conversation] - back, 0)
        standing = self.pool.state.standings.get(conversation)
        if standing is None or epoch > standing.epoch:
            self.wanted[conversation] = epoch
        self.send(commands.request(conversation, epoch))

    @rule(conversation=conversations, agent=agents, channel=channels, take=st.booleans(), force=st.booleans())
    def assign(self, conversation: str, agent: str, channel: Channel, *, take: bool, force: bool) -> None:
        self.newest[conversation] += 1
        epoch = self.newest[conversation]
        decisions = self.send(
            commands.assign(
                conversation,
                epoch,
                agent,
                channel=channel,
                channel_class=CLASS_OF.get(channel, ChannelClass.MESSAGING),
                reason="take" if take else "transfer",
                force=force,
            )
        )
        if any(isinstance(each, RoutingGranted) and each.data.epoch == epoch for each in decisions):
            self.wanted[conversation] = epoch

    @rule(conversation=conversations, to=st.sampled_from(ChannelClass))
    def widen(self, conversation: str, to: ChannelClass) -> None:
        self.send(commands.widen(conversation, self.wanted.get(conversation, 0), to))

    @rule(conversation=conversations, back=small)
    def release(self, conversation: str, back: int) -> None:
        epoch = max(self.newest[conversation] - back, 0)
        if self.wanted.get(conversation, epoch + 1) <= epoch:
            del self.wanted[conversation]
        self.send(commands.release(conversation, epoch))

    @precondition(lambda self: self.pool.offers)
    @rule(data=st.data(), agent=st.none() | agents, yes=st.booleans())
    def answer(self, data: st.DataObject, agent: str | None, *, yes: bool) -> None:
        offer = data.draw(st.sampled_from(sorted(self.pool.offers)))
        request = self.pool.state.standings[self.pool.offers[offer]].request
        assert request is not None
        assert request.offer is not None
        whose = agent or request.offer.agent
        self.send((commands.accept if yes else commands.reject)(whose, offer))

    @rule(policy=st.sampled_from(POLICIES))
    def taken_over(self, policy: Policy) -> None:
        self.send(TakeOver(policy))

    @rule()
    def restart(self) -> None:
        document = json.loads(json.dumps(snapshot.dump(self.pool)))
        self.pool = snapshot.load(document)
        assert snapshot.dump(self.pool) == document
        self.pool.crews.most = 3

    @rule()
    def crews_are_looked_at(self) -> None:
        """What a crew says of its Inbox's Agents is what looking at each of them says."""
        for conversation in self._waiting():
            request = self.request_of(conversation)
            for inbox in request.inboxes:
                self._check_crew(inbox, conversation, replace(request, rejected={}, inboxes=(inbox,)))

    def _check_crew(self, inbox: str, conversation: str, request: Request) -> None:
        crew = self.pool.crews.of(inbox, line(request))
        reasons = {
            agent.id: exclusion(self.pool, agent, conversation, request)
            for agent in self.pool.state.agents.values()
            if inbox in agent.inboxes
        }
        free = [self.pool.state.agents[name] for name, reason in reasons.items() if reason is None]
        choice = self.pool.state.policy.of(inbox).choice
        turns = self.pool.state.turns.get(inbox, {})
        ranks = [rank_of(choice, agent, self.pool.hands[agent.id], request.skills, turns) for agent in free]
        assert list(crew.free) == sorted(ranks)
        assert crew.excluded() == Counter(filter(None, reasons.values()))

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def no_request_is_lost(self) -> None:
        for conversation, epoch in self.wanted.items():
            assert self.pool.state.standings[conversation].held_epoch == epoch
        for conversation, standing in self.pool.state.standings.items():
            assert conversation in self.wanted or standing.held_epoch is None

    @invariant()
    def a_conversation_is_with_at_most_one_agent(self) -> None:
        held = [conversation for hand in self.pool.hands.values() for conversation in hand.held]
        assert len(held) == len(set(held))
        for conversation, standing in self.pool.state.standings.items():
            assert standing.request is None or standing.slot is None
            owner = standing.slot.agent if standing.slot else None
            asked = standing.request.offer.agent if standing.request and standing.request.offer else None
            assert [name for name, hand in self.pool.hands.items() if conversation in hand.held] == [
                name for name in (owner or asked,) if name
            ]

    @invariant()
    def nothing_waits_that_somebody_could_take(self) -> None:
        for conversation in self._waiting():
            request = self.pool.state.standings[conversation].request
            assert request is not None
            if waits_for_preferred(self.pool, conversation, request):
                continue
            for agent in self.pool.state.agents.values():
                assert exclusion(self.pool, agent, conversation, request) is not None

    @invariant()
    def who_waits_stands_in_a_line_of_each_of_its_inboxes_and_nothing_else_does(self) -> None:
        stands = sorted(
            (inbox, kind, where)
            for inbox in self.pool.queues.inboxes()
            for kind, places in self.pool.queues.lines(inbox)
            for where in places
        )
        waiting = {key: self.request_of(key) for key in self._waiting()}
        assert stands == sorted(
            (inbox, line(request), place(key, request))
            for key, request in waiting.items()
            for inbox in request.inboxes
        )
        assert sum(self.pool.depths.values()) == len(waiting)

    @invariant()
    def who_waits_is_weighed_and_looked_at_again_in_time(self) -> None:
        for key in self._waiting():
            request = self.request_of(key)
            policy = self.pool.state.policy.of(request.need.inbox)
            assert request.look_at == next_look(request, policy, self.pool.now)
            assert told(request, policy) == tuple(
                words(step, request.need.skills) for step in policy.relaxation[: request.steps]
            )

    @invariant()
    def what_nobody_could_ever_serve_has_nowhere_else_to_go(self) -> None:
        for key in self._waiting():
            hope = hope_of(self.request_of(key))
            fresh = Hopes(self.pool.state.agents, self.pool.members)
            assert fresh.left(hope, self.pool.state.policy) == self.pool.hopes.left(
                hope, self.pool.state.policy
            )
            if not fresh.left(hope, self.pool.state.policy):
                assert fresh.refuge(hope, self.pool.state.policy) is None

    @invariant()
    def nobody_signed_off_or_lost_has_anything(self) -> None:
        for agent in self.pool.state.agents.values():
            assert (agent.signed_on and not agent.lost) or not self.pool.hands[agent.id].total

    def teardown(self) -> None:
        again = Pool(PoolState(POOL))
        decided = [decision for given, now in self.journal for decision in step(again, given, now).decisions]
        assert decided == self.decided
        assert snapshot.dump(again) == snapshot.dump(self.pool)
        numbers = [each.seq for each in decided if isinstance(each, AgentChanged)]
        assert numbers == sorted(set(numbers))


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
