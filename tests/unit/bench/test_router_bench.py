"""The situations that the router's bench measures are what it says they are."""

from tests.bench.router import CAPACITY, Engine, Heaps


def test_busy_means_that_every_agent_is_full_and_stays_so() -> None:
    engine = Engine.made(agents=20, waiting=40)
    assert len(engine.held) <= 20 * CAPACITY
    before = len(engine.held)
    decisions = [engine.turn() for _ in range(100)]
    assert len(engine.held) == before
    assert set(decisions) == {2}, "each turn releases one Conversation and grants another"


def test_quiet_means_that_each_conversation_is_given_at_once() -> None:
    engine = Engine.made(agents=100, waiting=0)
    assert [engine.turn() for _ in range(50)] == [2] * 50
    assert not engine.held


def test_the_control_gives_and_takes_as_often() -> None:
    for waiting in (0, 40):
        heaps = Heaps.made(20, waiting)
        assert [heaps.turn() for _ in range(100)] == [2] * 100
        assert len(heaps.waiting) == waiting
