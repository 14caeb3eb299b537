"""The route that exports a Customer: what all services hold, as one JSON object, written as it is read."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from schemas.common import IdentifierKind
from schemas.envelope import rfc3339
from services.chassis.auth import Lead
from services.chassis.clock import Clock, utc_now
from services.chassis.exports import encoded
from services.chassis.logging import log
from services.chassis.mongo import Database, Document
from services.chassis.problems import not_found, unavailable
from services.identity.erasing import Erasing
from services.identity.errors import UnknownCustomerError
from services.identity.store import profile_of
from services.identity.views import customer_view

Params = dict[str, list[str]]
VISITORS_AT_ONCE = 200
"""Ids in one request to ingest: they are named in its URL."""
_TIMEOUT = httpx.Timeout(10.0, connect=2.0)


def exporting_client() -> httpx.AsyncClient:
    """Return a client for the other services."""
    return httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)


@dataclass
class Export:
    """Puts together what the services give. `urls` are the bases of the others, by name."""

    database: Database
    erasing: Erasing
    client: httpx.AsyncClient
    urls: Mapping[str, str]
    clock: Clock = utc_now

    async def of(self, customer_id: str, authorization: str) -> AsyncIterator[bytes]:
        """Return the object in parts, once every service has begun to answer.

        Raises UnknownCustomerError, or Problem 503 that names the service that is away.
        """
        family = await self.erasing.family(customer_id)
        homes = [row["_id"] for row in family]
        own = await self._own(family, homes)
        visitors = [
            row["_id"].removeprefix(f"{IdentifierKind.VISITOR.value}:")
            for row in own["identifiers"]
            if row["_id"].startswith(f"{IdentifierKind.VISITOR.value}:")
        ]
        stack = AsyncExitStack()
        try:
            answers = await self._opened(stack, homes, visitors, authorization)
        except BaseException:
            await stack.aclose()
            raise
        return self._written(stack, own, answers)

    async def _own(self, family: Sequence[Document], homes: Sequence[str]) -> dict[str, Any]:
        theirs = {"$in": list(homes)}
        identifiers = self.database["identifiers"].find({"customer_id": theirs})
        claims = self.database["claims"].find({"customer_id": theirs})
        audit = self.database["audit"].find({"customer_id": theirs}, sort=[("at", 1)])
        conflicts = self.database["conflicts"].find({"$or": [{"customer_id": theirs}, {"other": theirs}]})
        return {
            "customer": customer_view(profile_of(family[0])),
            "exported_at": rfc3339(self.clock()),
            "customers": [{name: value for name, value in row.items() if name != "outbox"} for row in family],
            "identifiers": [row async for row in identifiers],
            "conflicts": [row async for row in conflicts],
            "claims": [row async for row in claims],
            "audit": [row async for row in audit],
        }

    async def _opened(
        self, stack: AsyncExitStack, homes: Sequence[str], visitors: Sequence[str], authorization: str
    ) -> list[tuple[str, httpx.Response]]:
        params: list[tuple[str, Params]] = [
            (name, {"home": list(homes)}) for name in self.urls if name != "ingest"
        ]
        params += [
            ("ingest", {"visitor": list(visitors[first : first + VISITORS_AT_ONCE])})
            for first in range(0, max(len(visitors), 1), VISITORS_AT_ONCE)
        ]
        opening = (self._open(stack, name, homes[0], given, authorization) for name, given in params)
        return list(await asyncio.gather(*opening))

    async def _open(
        self,
        stack: AsyncExitStack,
        name: str,
        customer_id: str,
        params: Params,
        authorization: str,
    ) -> tuple[str, httpx.Response]:
        url = f"{self.urls[name].rstrip('/')}/{name}/v1/customers/{customer_id}/export"
        headers = {"Authorization": authorization}
        request = self.client.build_request("GET", url, params=params, headers=headers)
        try:
            answer = await self.client.send(request, stream=True)
        except httpx.HTTPError as error:
            log.warning("export_service_away", service=name, error=type(error).__name__)
            raise unavailable(f"the service {name}") from error
        stack.push_async_callback(answer.aclose)
        if answer.status_code != httpx.codes.OK:
            log.warning("export_service_refuses", service=name, status=answer.status_code)
            raise unavailable(f"the service {name}")
        return name, answer

    async def _written(
        self, stack: AsyncExitStack, own: Mapping[str, Any], answers: Sequence[tuple[str, httpx.Response]]
    ) -> AsyncIterator[bytes]:
        """Write one after the other; where one breaks off, so does the whole, and is no JSON."""
        async with stack:
            yield encoded(own)[:-1]
            for name, of_service in _grouped(answers).items():
                yield f',"{name}":'.encode()
                begin = b"["
                for answer in of_service:
                    if len(of_service) > 1:
                        yield begin
                        begin = b","
                    async for part in answer.aiter_bytes():
                        yield part
                if len(of_service) > 1:
                    yield b"]"
            yield b"}"


def _grouped(answers: Sequence[tuple[str, httpx.Response]]) -> dict[str, list[httpx.Response]]:
    grouped: dict[str, list[httpx.Response]] = {}
    for name, answer in answers:
        grouped.setdefault(name, []).append(answer)
    return grouped


def routes(export: Export) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.get("/v1/customers/{customer_id}/export")
    async def export_customer(request: Request, _: Lead, customer_id: str) -> StreamingResponse:
        """Give everything held of the Customer, over all services, as JSON; 503 names one that is away."""
        try:
            parts = await export.of(customer_id, request.headers["authorization"])
        except UnknownCustomerError:
            raise not_found(f"the Customer {customer_id}") from None
        headers = {"Content-Disposition": f'attachment; filename="customer-{customer_id}.json"'}
        return StreamingResponse(parts, media_type="application/json", headers=headers)

    return router
