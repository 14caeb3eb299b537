"""Answers webhooks of our accounts before the framework: its work would take longer than all of ours."""

import time
from functools import cache

from fastapi import Response
from prometheus_client import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from services.chassis import problems
from services.chassis.accounts import Account, Accounts
from services.chassis.metrics import HTTP_SECONDS
from services.chassis.problems import Problem
from services.ingest.api import WEBHOOK
from services.ingest.channels.registry import PROVIDERS, Provider
from services.ingest.taking import Taking, counted

_SERVICE = "ingest"


_ROUTE = f"/{_SERVICE}{WEBHOOK}"


class Front:
    """ASGI application: takes a POST to the address of an account of ours, and passes on whatever else."""

    def __init__(self, app: ASGIApp, taking: Taking) -> None:
        self._app = app
        self._taking = taking
        self.learn(taking.intake.accounts)

    def learn(self, accounts: Accounts) -> None:
        """Take requests of these accounts from now on; those that are being taken end as they began."""
        self._ours = {
            _ROUTE.format(provider=account.provider, account=account.account): (row, account)
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
            return
        started = time.monotonic()
        answer = await self._answer(*ours, scope, receive)
        _seconds(answer.status_code).observe(time.monotonic() - started)
        await answer(scope, receive, send)

    async def _answer(self, row: Provider, account: Account, scope: Scope, receive: Receive) -> Response:
        try:
            with counted(row.name):
                return await self._taking.take(row, account, scope, receive)
        except Problem as problem:
            return problems.response(problem)
        except Exception as error:  # noqa: BLE001  (whatever it is, the provider gets an answer)
            return problems.fault(_ROUTE, error)


@cache
def _seconds(status: int) -> Histogram:
    return HTTP_SECONDS.labels(_SERVICE, "POST", _ROUTE, status)
