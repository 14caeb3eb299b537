"""`Idempotency-Key`: a command with the same key and body has one effect and one answer for 24 hours."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError, PyMongoError

from schemas import ids
from services.chassis.clock import Clock, utc_now
from services.chassis.mongo import Database
from services.chassis.problems import Problem, unavailable

_KEPT = timedelta(hours=24)
_LEASE = timedelta(seconds=15)
_FREE_SECONDS = 1.0
_LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers; `body` is JSON-ready, None for no content."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return it as an HTTP response."""
        if self.body is None:
            return Response(status_code=self.status, headers=self.headers)
        return JSONResponse(self.body, self.status, headers=self.headers)


async def _response(answer: Answer, shown: Callable[[Answer], Awaitable[Answer]] | None) -> Response:
    succeeded = answer.status < 400  # noqa: PLR2004  (HTTP's errors)
    return (await shown(answer) if shown is not None and succeeded else answer).response()


def idempotency_key(request: Request) -> str | None:
    """Return the request's key, if it has one. Raises Problem 422 for one that is none."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _LONGEST_KEY:
        raise Problem(
            422, "Unprocessable Content", f"Idempotency-Key: must have 1 to {_LONGEST_KEY} characters"
        )
    return key


def key_reused() -> Problem:
    """Return the refusal of a key that came with another body before."""
    return Problem(
        422, "Unprocessable Content", "Idempotency-Key: already used with another body", kind="key-reused"
    )


class Commands:
    """Runs commands at most once per (caller, route, key)."""

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._collection = database["idempotency"]
        self._clock = clock

    async def prepare(self) -> None:
        """Create the index that forgets answers after a day."""
        await self._collection.create_index(
            [("at", ASCENDING)], expireAfterSeconds=int(_KEPT.total_seconds())
        )

    async def forget(self, words: Collection[str]) -> None:
        """Forget all answers that quote one of these words, as a Customer's id; reads a day's commands."""
        quoting = [
            row["_id"]
            async for row in self._collection.find({"answer": {"$ne": None}}, {"answer": 1})
            if any(word in text for text in [json.dumps(row["answer"], default=str)] for word in words)
        ]
        if quoting:
            await self._collection.delete_many({"_id": {"$in": quoting}})

    async def once(
        self,
        request: Request,
        subject: str,
        body: object,
        run: Callable[[UUID], Awaitable[Answer]],
        shown: Callable[[Answer], Awaitable[Answer]] | None = None,
    ) -> Response:
        """Answer the command, or again what it answered first.

        `shown` adds to each answer of `run` what must not be kept here, as secrets.

        `run` gets the id from which all ids of its effects must be derived: when a crash hides whether
        it ran, it runs again under the same id. Only answers below 500 are kept. Raises Problem 422
        for a key used with another body.
        """
        key = idempotency_key(request)
        if key is None:
            return await _response(await run(uuid4()), shown)
        route = f"{request.method} {request.url.path}"
        command = ids.command_id(subject, route, key)
        digest = hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
        known = await self._claim(command, digest)
        if known is not None:
            return await _response(known, shown)
        return await _response(await self._run(command, run), shown)

    async def _run(self, command: UUID, run: Callable[[UUID], Awaitable[Answer]]) -> Answer:
        try:
            answer = await run(command)
        except Problem as problem:
            if problem.status < 500:  # noqa: PLR2004  (HTTP's server errors)
                headers = {**problem.headers, "content-type": "application/problem+json"}
                await self._keep(command, Answer(problem.status, problem.body, headers))
            else:
                await self._collection.delete_one({"_id": str(command), "answer": None})
            raise
        except BaseException:
            await self._free(command)
            raise
        await self._keep(command, answer)
        return answer

    async def _free(self, command: UUID) -> None:
        """Let it be run again at once; where the database is away, once its lease is over."""
        with suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(_FREE_SECONDS):
                await self._collection.update_one(
                    {"_id": str(command), "answer": None}, {"$set": {"until": self._clock()}}
                )

    async def _claim(self, command: UUID, digest: str) -> Answer | None:
        """Return None when the command is ours to run, else the answer it had."""
        now = self._clock()
        try:
            await self._collection.insert_one(
                {"_id": str(command), "digest": digest, "at": now, "until": now + _LEASE, "answer": None}
            )
        except DuplicateKeyError:
            return await self._wait(command, digest, now + _LEASE + timedelta(seconds=5))
        return None

    async def _wait(self, command: UUID, digest: str, deadline: datetime) -> Answer | None:
        pause = 0.01
        while (now := self._clock()) < deadline:
            known = await self._collection.find_one({"_id": str(command)})
            if known is None:
                return await self._claim(command, digest)
            if known["digest"] != digest:
                raise key_reused()
            if known["answer"] is not None:
                return Answer(**known["answer"])
            if known["until"] <= now:
                taken = await self._collection.update_one(
                    {"_id": str(command), "until": known["until"], "answer": None},
                    {"$set": {"until": now + _LEASE}},
                )
                if taken.matched_count:
                    return None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.2)
        raise unavailable("the first request with this Idempotency-Key is still running; its answer")

    async def _keep(self, command: UUID, answer: Answer) -> None:
        kept = {"status": answer.status, "body": answer.body, "headers": answer.headers}
        await self._collection.update_one({"_id": str(command)}, {"$set": {"answer": kept}})
