"""Who saw and changed what of a Customer (`audit.entries`), noted before the answer goes out.

A middleware looks at each answer that succeeds: who asked is known from the token, what from the route, and
whose it was from the path or from `about`. The entry is written to the service's own database, which the
request needed anyway, and published from there: Kafka may be away, and no answer goes out unnoted.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from pymongo import ASCENDING, InsertOne
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas import ids
from schemas.audit import AuditData, AuditEntry
from schemas.topics import AUDIT_ENTRIES
from services.chassis import metrics
from services.chassis.auth import Principal
from services.chassis.broker import Outgoing, Publisher
from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import Database, bulk
from services.chassis.problems import fault

AT_ONCE = 500
_REMEMBERED = 10_000
_READS = frozenset({"GET", "HEAD"})
_SUCCESS = range(200, 300)


@dataclass(frozen=True, slots=True)
class Action:
    """What a route does, in the trail's words."""

    name: str
    shown: tuple[str, ...] = ()
    """Parameters of the path that the entry names; others, as addresses of people, it does not."""


Actions = Mapping[tuple[str, str], Action | None]
"""By method and path of the route without the service's name; None for what is not noted."""


@dataclass(slots=True)
class _Seen:
    customers: dict[str, dict[str, str]] = field(default_factory=dict)


_present: ContextVar[_Seen | None] = ContextVar("seen", default=None)


def about(customer_id: str, **what: str) -> None:
    """Say that the request at hand shows or changes something of this Customer, and what."""
    seen = _present.get()
    if seen is not None:
        seen.customers.setdefault(customer_id, {}).update(what)


class Trail:
    """Keeps entries until they are published. `also` is given them too, before the answer."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        service: str,
        clock: Clock = utc_now,
        also: Callable[[Sequence[AuditEntry]], Awaitable[None]] | None = None,
    ) -> None:
        self._waiting = database["audit_waiting"]
        self._publisher = publisher
        self._service = service
        self._clock = clock
        self._also = also
        self._kept: OrderedDict[UUID, None] = OrderedDict()

    async def prepare(self) -> None:
        """Create the index of what waits."""
        await self._waiting.create_index([("at", ASCENDING)], name="waiting")

    async def note(
        self, actor: str, action: str, customers: Mapping[str, Mapping[str, str]], command: UUID | None
    ) -> None:
        """Keep one entry a Customer. Raises what the database raises.

        A command is one entry however often it is repeated under its id, a look (without one) one a minute.
        """
        now = self._clock()
        made = [
            self._entry(actor, action, customer, what, command, now) for customer, what in customers.items()
        ]
        entries = [entry for entry in made if entry.id not in self._kept]
        if not entries:
            return
        await bulk(
            self._waiting,
            [
                InsertOne(
                    {
                        "_id": str(each.id),
                        "at": now,
                        "customer_id": each.customer_id,
                        "value": each.json_bytes(),
                    }
                )
                for each in entries
            ],
        )
        if self._also is not None:
            await self._also(entries)
        self._remember(each.id for each in entries)

    def _entry(
        self,
        actor: str,
        action: str,
        customer: str,
        what: Mapping[str, str],
        command: UUID | None,
        now: datetime,
    ) -> AuditEntry:
        once = command or int(now.timestamp()) // 60
        own = ids.derive("audit", self._service, actor, action, customer, *sorted(what.items()), once)
        return AuditEntry(
            id=own,
            occurred_at=now,
            correlation=command or own,
            causation=command,
            customer_id=customer,
            home=customer,
            data=AuditData(actor=actor, action=action, service=self._service, what=dict(what)),
        )

    def _remember(self, entries: Iterable[UUID]) -> None:
        self._kept.update(dict.fromkeys(entries))
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

    async def publish(self) -> None:
        """Publish what waits, the oldest first. Every replica may: an entry is known by its id."""
        while True:
            found = self._waiting.find({}, sort=[("at", ASCENDING)], limit=AT_ONCE)
            rows = [row async for row in found]
            age = (self._clock() - rows[0]["at"]).total_seconds() if rows else 0.0
            metrics.OUTBOX_AGE.labels("audit_waiting").set(age)
            if not rows:
                return
            await self._publisher.publish(
                [Outgoing(AUDIT_ENTRIES.name, row["customer_id"], row["value"]) for row in rows]
            )
            await self._waiting.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})


class Audited:
    """ASGI middleware: notes what succeeds before its answer begins; what cannot be noted is 503."""

    def __init__(self, app: ASGIApp, trail: Trail, prefix: str, actions: Actions) -> None:
        self._app = app
        self._trail = trail
        self._prefix = prefix
        self._actions = actions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = _Seen()
        failure: Exception | None = None

        async def sending(message: Message) -> None:
            nonlocal failure
            if failure is None and message["type"] == "http.response.start":
                try:
                    await self._note(scope, seen, message["status"])
                except Exception as error:  # noqa: BLE001  (the answer is held back, and says so)
                    failure = error
            if failure is None:
                await send(message)

        token = _present.set(seen)
        try:
            await self._app(scope, receive, sending)
        finally:
            _present.reset(token)
        if failure is not None:
            route = getattr(scope.get("route"), "path", "unknown")
            await fault(route, failure)(scope, receive, send)

    async def _note(self, scope: Scope, seen: _Seen, status: int) -> None:
        caller = scope.get("state", {}).get("principal")
        route = scope.get("route")
        if status not in _SUCCESS or not isinstance(caller, Principal) or route is None:
            return
        parameters: Mapping[str, object] = scope.get("path_params", {})
        customers = dict(seen.customers)
        if not customers and (named := parameters.get("customer_id")):
            customers[str(named)] = {}
        method = scope["method"]
        action = self._action(method, route.path.removeprefix(self._prefix), route.name)
        if action is None or not customers:
            return
        shown = {name.removesuffix("_id"): str(parameters[name]) for name in action.shown}
        await self._trail.note(
            caller.subject,
            action.name,
            {customer: {**what, **shown} for customer, what in customers.items()},
            None if method in _READS else _command(scope, caller.subject),
        )

    def _action(self, method: str, path: str, name: str) -> Action | None:
        """Return the route's row; without one what FastAPI calls it, so that no route is forgotten."""
        if (method, path) in self._actions:
            return self._actions[method, path]
        return Action(f"{name}.viewed" if method in _READS else name)


def _command(scope: Scope, subject: str) -> UUID:
    """Return the id of the command; see `idempotency`, where its repeats are known by the same."""
    keys = (value for name, value in scope["headers"] if name == b"idempotency-key")
    key = next(keys, None)
    if key is None:
        return uuid4()
    return ids.command_id(subject, f"{scope['method']} {scope['path']}", key.decode("latin-1"))
