"""Answers webhooks of our accounts before the framework: its work would take longer than all of ours."""

from dataclasses import dataclass

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis import problems
from services.chassis.accounts import Accounts
from services.chassis.measured import Measured
from services.chassis.problems import Problem
from services.ingest.api import WEBHOOK
from services.ingest.channels.registry import PROVIDERS
from services.ingest.handlers import Intake
from services.ingest.settings import IngestSettings
from services.ingest.taking import counted, take

_SERVICE = "ingest"


@dataclass(frozen=True, slots=True)
class _Route:
    """What metrics call the route."""

    path: str


_ROUTE = _Route(f"/{_SERVICE}{WEBHOOK}")


class Front:
    """ASGI application: takes a POST to the address of an account of ours, and passes on whatever else."""

    def __init__(self, app: ASGIApp, intake: Intake, settings: IngestSettings) -> None:
        self._app = app
        self._take = Measured(self._answered, _SERVICE)
        self._intake, self._settings = intake, settings
        self.learn(intake.accounts)

    def learn(self, accounts: Accounts) -> None:
        """Take requests of these accounts from now on; those that are being taken end as they began."""
        self._ours = {
            _ROUTE.path.format(provider=account.provider, account=account.account): (row, account)
            for account in accounts
            if (row := PROVIDERS.get(account.provider)) is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the webhook, or pass the request on."""
        ours = (
            self._ours.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        )
        if ours is None:
            await self._app(scope, receive, send)
        else:
            scope["parley.account"] = ours
            await self._take(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = _ROUTE
        row, account = scope["parley.account"]
        answer: Response
        try:
            with counted(row.name):
                answer = await take(row, account, scope, receive, self._intake, self._settings)
        except Problem as problem:
            answer = problems.response(problem)
        except Exception as error:  # noqa: BLE001  (whatever it is, the provider gets an answer)
            answer = problems.fault(_ROUTE.path, error)
        await answer(scope, receive, send)
