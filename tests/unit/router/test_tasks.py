"""Tasks in a pool: room of their own, no channel, and a call beside them."""

from typing import Any

from schemas.common import Channel, ChannelClass
from schemas.routing import RoutingRequest
from services.router.api import offer_json
from services.router.domain import snapshot
from services.router.domain.views import request_view
from tests.unit.router.commands import Desk, assign, available, kinds, profile, release, request

TASKS = ChannelClass.TASKS


def task(name: str, epoch: int = 1, **fields: Any) -> RoutingRequest:
    return request(name, epoch, **{"kind": "task", "channel": None, "channel_class": TASKS, **fields})


def assign_task(name: str, epoch: int, agent: str, **fields: Any) -> Any:
    return assign(name, epoch, agent, kind="task", channel=None, channel_class=TASKS, **fields)


def test_a_task_goes_to_whoever_is_signed_on_for_anything() -> None:
    desk = Desk()
    desk.send(profile("ana"), available("ana", Channel.EMAIL))
    (granted,) = desk.send(task("t"))
    assert (granted.data.agent, granted.data.kind) == ("ana", "task")


def test_tasks_have_room_of_their_own() -> None:
    desk = Desk("ana", capacity={"tasks": 2, "total": 8})
    assert kinds(desk.send(task("t1"), task("t2"), task("t3"))) == ["granted", "granted"]
    assert kinds(desk.send(request("c"))) == ["granted"]
    assert kinds(desk.send(release("t1", 1))) == ["released", "granted"]
    assert desk.holder("t3") == "ana"


def test_a_named_agent_without_room_is_refused_unless_it_is_forced() -> None:
    desk = Desk("ana", capacity={"tasks": 1})
    desk.send(task("t1"))
    (refused,) = desk.send(assign_task("t2", 1, "ana"))
    assert (refused.data.reason, refused.data.kind) == ("full", "task")
    (granted,) = desk.send(assign_task("t2", 1, "ana", force=True))
    assert granted.data.forced


def test_who_is_signed_off_or_unknown_is_refused_a_task() -> None:
    desk = Desk("ana")
    desk.send(available("ana", on=False))
    decisions = desk.send(assign_task("t1", 1, "ana"), assign_task("t1", 2, "nobody"))
    assert [decision.data.reason for decision in decisions] == ["signed_off", "unknown_agent"]


def test_a_lost_agents_tasks_wait_again_ahead() -> None:
    desk = Desk("ana", capacity={"tasks": 1})
    desk.send(task("t1"), task("t2"))
    desk.send(profile("ben", capacity={"tasks": 1}))
    assert kinds(desk.send(available("ana", on=False))) == ["unassigned"]
    desk.send(available("ben"))
    assert (desk.holder("t1"), desk.holder("t2")) == ("ben", None)


def test_a_call_comes_to_who_has_tasks_and_no_task_to_who_is_on_a_call() -> None:
    desk = Desk("ana", auto_accept={"voice": True})
    desk.send(task("t1"))
    assert kinds(desk.send(request("call", channel=Channel.VOICE))) == ["granted"]
    assert kinds(desk.send(task("t2"))) == []
    assert kinds(desk.send(release("call", 1))) == ["released", "granted"]


def test_an_offer_of_a_task_names_the_task() -> None:
    desk = Desk("ana", auto_accept={"tasks": False})
    step = desk.step(task("t"))
    (view,) = step.touched.offers.values()
    shown = offer_json(dict(view))
    assert (shown["kind"], shown["task_id"], shown["conversation_id"]) == ("task", "t", None)
    assert (shown["channel"], shown["channel_class"]) == (None, "tasks")


def test_a_snapshot_keeps_what_is_routed() -> None:
    desk = Desk("ana", capacity={"tasks": 1})
    desk.send(task("t1"), task("t2"))
    loaded = snapshot.load(snapshot.dump(desk.pool))
    for name in ("t1", "t2"):
        assert loaded.state.standings[name].kind == "task"
        assert request_view(loaded, name) == request_view(desk.pool, name)
