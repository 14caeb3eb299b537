"""HTTP: commands go to the pool's owner and are answered with its decision, reads to the read models."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from schemas.envelope import rfc3339
from services.chassis.auth import Agent, Lead, Principal, Role
from services.chassis.clock import Clock
from services.chassis.idempotency import Answer, Commands
from services.chassis.inboxes import Inbox
from services.chassis.mongo import Document
from services.chassis.pages import Limit
from services.chassis.problems import Problem, conflict, invalid, not_found
from services.router.asking import Asked, Asking
from services.router.inputs import AvailabilityInput, ProfileInput
from services.router.readmodels import ReadModels

AgentId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")]
_SHOWN = (
    "name",
    "pool",
    "inboxes",
    "skills",
    "capacity",
    "auto_accept",
    "voice_alone",
    "availability",
    "signed_on",
)


@dataclass(frozen=True)
class Parts:
    """What the routes call."""

    asking: Asking
    reads: ReadModels
    once: Commands
    inboxes: Mapping[str, Inbox]
    clock: Clock


def routes(parts: Parts) -> APIRouter:
    """Return the router's routes."""
    router = APIRouter()
    for part in (_agents(parts), _commands(parts), _offers(parts), _queues(parts)):
        router.include_router(part)
    return router


def _agents(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.put("/v1/agents/{agent_id}")
    async def put_profile(request: Request, caller: Lead, agent_id: AgentId, body: ProfileInput) -> Response:
        pool = _pool(parts.inboxes, body)

        async def run(command: UUID) -> Answer:
            await parts.asking.profile(command, agent_id, caller.subject, pool, body)
            return Answer(200, agent_json(await _found_agent(parts, agent_id)))

        return await parts.once.once(request, caller.subject, body.model_dump(mode="json"), run)

    @router.get("/v1/agents/{agent_id}")
    async def agent(_caller: Agent, agent_id: AgentId) -> dict[str, Any]:
        return agent_json(await _found_agent(parts, agent_id))

    @router.get("/v1/agents")
    async def agents(_caller: Agent, limit: Limit = 50, cursor: str | None = None) -> dict[str, Any]:
        return await parts.reads.agents(limit, cursor, agent_json)

    @router.get("/v1/inboxes")
    async def inboxes(_caller: Agent) -> dict[str, Any]:
        items = [
            {"name": each.name, "pool": each.pool, "fallback": each.fallback}
            for each in parts.inboxes.values()
        ]
        return {"items": items, "next_cursor": None}

    return router


def _commands(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.put("/v1/agents/{agent_id}/availability")
    async def availability(
        request: Request, caller: Agent, agent_id: AgentId, body: AvailabilityInput
    ) -> Response:
        found = await _own_agent(parts, caller, agent_id)

        async def run(command: UUID) -> Answer:
            await parts.asking.availability(command, found, caller.subject, body)
            return Answer(200, agent_json(await _found_agent(parts, agent_id)))

        return await parts.once.once(request, caller.subject, body.model_dump(mode="json"), run)

    @router.post("/v1/agents/{agent_id}/heartbeat", status_code=204)
    async def heartbeat(request: Request, caller: Agent, agent_id: AgentId) -> Response:
        found = await _own_agent(parts, caller, agent_id)
        return await _answered(
            parts, request, caller, lambda command: parts.asking.heartbeat(command, found, caller.subject)
        )

    @router.post("/v1/agents/{agent_id}/next")
    async def pull(request: Request, caller: Agent, agent_id: AgentId) -> Response:
        found = await _own_agent(parts, caller, agent_id)
        return await _answered(
            parts, request, caller, lambda command: parts.asking.next(command, found, caller.subject)
        )

    return router


def _offers(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/agents/{agent_id}/offers")
    async def offers(caller: Agent, agent_id: AgentId) -> dict[str, Any]:
        await _own_agent(parts, caller, agent_id)
        return {
            "items": [offer_json(each) for each in await parts.reads.open_offers(agent_id)],
            "next_cursor": None,
        }

    async def answer(request: Request, caller: Principal, offer_id: str, *, accept: bool) -> Response:
        async def run(command: UUID) -> Asked:
            offer = await parts.reads.offer(offer_id)
            if offer is None or not (offer["agent"] == caller.subject or caller.may(Role.LEAD)):
                raise not_found(f"offer {offer_id}")
            if offer["state"] != "open" and await parts.reads.outcome(command) is None:
                raise conflict(f"offer {offer_id} is {offer['state']}", state=offer["state"])
            return await parts.asking.answer(command, offer, caller.subject, accept=accept)

        return await _answered(parts, request, caller, run)

    @router.post("/v1/offers/{offer_id}/accept")
    async def accept(request: Request, caller: Agent, offer_id: str) -> Response:
        return await answer(request, caller, offer_id, accept=True)

    @router.post("/v1/offers/{offer_id}/reject")
    async def reject(request: Request, caller: Agent, offer_id: str) -> Response:
        return await answer(request, caller, offer_id, accept=False)

    return router


def _queues(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/queues")
    async def queues(_caller: Agent, inbox: str | None = None) -> dict[str, Any]:
        items = await parts.reads.queues(parts.inboxes, parts.clock())
        return {"items": [each for each in items if inbox in (None, each["inbox"])], "next_cursor": None}

    @router.get("/v1/requests/{conversation_id}")
    async def request(caller: Agent, conversation_id: str) -> dict[str, Any]:
        row = await parts.reads.request(conversation_id)
        if row is None or not await _may_see(parts, caller, row.get("inbox")):
            raise not_found(f"a request of Conversation or Task {conversation_id}")
        position = await parts.reads.position(row) if row["state"] == "queued" else None
        expected = await parts.reads.expected_wait(row) if position else None
        because = await parts.reads.why_waiting(row, parts.clock()) if row["state"] == "queued" else None
        return {**request_json(row, position, expected), "waiting_because": because}

    return router


async def _answered(
    parts: Parts, request: Request, caller: Principal, ask: Callable[[UUID], Awaitable[Asked]]
) -> Response:
    """Run a command without a body, and answer with the offer it is about, if any."""

    async def run(command: UUID) -> Answer:
        asked = await ask(command)
        return Answer(asked.status, offer_json(asked.body) if asked.body else None)

    return await parts.once.once(request, caller.subject, None, run)


def _pool(inboxes: Mapping[str, Inbox], body: ProfileInput) -> str:
    """Return the one pool of the profile's Inboxes, which must be the Agent's, or raise 422."""
    for index, name in enumerate(body.inboxes):
        if name not in inboxes:
            raise invalid(f"inboxes.{index}", f"there is no Inbox {name}; there are: {', '.join(inboxes)}")
    first = inboxes[body.inboxes[0]]
    for index, name in enumerate(body.inboxes):
        if inboxes[name].pool != first.pool:
            detail = (
                f"{name} is in pool {inboxes[name].pool}, {first.name} in {first.pool}; an Agent is in one"
            )
            raise invalid(f"inboxes.{index}", detail)
    if body.pool not in (None, first.pool):
        raise invalid("pool", f"Inbox {first.name} is in pool {first.pool}, not in {body.pool}")
    return first.pool


async def _found_agent(parts: Parts, agent_id: str) -> Document:
    found = await parts.reads.agent(agent_id)
    if found is None:
        raise not_found(f"Agent {agent_id}")
    return found


async def _own_agent(parts: Parts, caller: Principal, agent_id: str) -> Document:
    """Return the Agent, when the caller is that Agent or a lead."""
    if caller.subject != agent_id and not caller.may(Role.LEAD):
        raise Problem(403, "Forbidden", f"only {agent_id} or a lead may do this for {agent_id}")
    return await _found_agent(parts, agent_id)


async def _may_see(parts: Parts, caller: Principal, inbox: str | None) -> bool:
    if caller.may(Role.LEAD):
        return True
    own = await parts.reads.agent(caller.subject)
    return own is not None and inbox in own["inboxes"]


def agent_json(row: Document) -> dict[str, Any]:
    """Return an Agent as the API shows them."""
    return {
        "id": row["_id"],
        **{name: row[name] for name in _SHOWN},
        "away": row["away"],
        "focus": row.get("focus", False),
        "wrap_up_until": rfc3339(row["wrap_up_until"]) if row.get("wrap_up_until") else None,
        "excludes": row.get("excludes", {}),
        "pull_limit": row.get("pull_limit"),
        "load": row["load"],
    }


def offer_json(row: Document) -> dict[str, Any]:
    """Return an offer as the API shows it."""
    shown = ("id", "agent", "customer_id", "inbox", "channel", "channel_class", "state")
    return {
        **_what(row),
        **{name: row[name] for name in shown},
        "expires_at": rfc3339(row["expires_at"]),
    }


def _what(row: Document) -> dict[str, Any]:
    """Return which Conversation or Task a row is about; exactly one of the ids is set."""
    kind, what = row.get("kind", "conversation"), row["conversation_id"]
    return {
        "kind": kind,
        "conversation_id": what if kind == "conversation" else None,
        "task_id": what if kind == "task" else None,
    }


def _patience(row: Document) -> dict[str, Any]:
    """Return what a queued request will do by itself, and when."""
    step, hoped = row.get("next_step"), row.get("waits_for")
    return {
        "next_relaxation": {"at": rfc3339(step["at"]), "what": step["what"]} if step else None,
        "waits_for": {"agent": hoped["agent"], "until": rfc3339(hoped["until"])} if hoped else None,
    }


def request_json(row: Document, position: int | None, expected: float | None) -> dict[str, Any]:
    """Return where a Conversation stands in routing, and why the last decision was as it was."""
    decision = dict(row.get("decision") or {})
    if "at" in decision:
        decision["at"] = rfc3339(decision["at"])
    shown = (
        "pool",
        "state",
        "inbox",
        "channel",
        "channel_class",
        "agent",
        "priority",
        "epoch",
    )
    requested_at = row.get("requested_at")
    return {
        **_what(row),
        **{name: row.get(name) for name in shown},
        "requested_at": rfc3339(requested_at) if requested_at else None,
        "position": position,
        "expected_wait_seconds": expected,
        "explanation": decision.get("explanation"),
        "relaxed": row.get("relaxed", []),
        "overflow_from": row.get("overflow_from"),
        "overflow": row.get("overflow"),
        **(_patience(row) if row["state"] == "queued" else {"next_relaxation": None, "waits_for": None}),
        "decision": decision or None,
    }
