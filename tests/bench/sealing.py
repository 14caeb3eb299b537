"""`python -m tests.bench.sealing`: what sealing and opening cost a record, with its key at hand."""

import asyncio
import os
from collections.abc import Iterable
from statistics import median
from time import perf_counter

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.topics import MESSAGES_IDENTIFIED
from services.chassis.broker import Outgoing
from services.chassis.keys import Key
from services.chassis.sealing import Seals
from tests.contract import examples

RECORDS, ROUNDS = 500, 40
"""In a batch, as a consumer takes it; batches timed."""


class AtHand:
    """Keys that no database is asked for."""

    def __init__(self) -> None:
        self._key = Key(AESGCM(os.urandom(32)))

    async def have(self, homes: Iterable[str]) -> dict[str, Key]:
        return dict.fromkeys(homes, self._key)

    find = have


async def measured() -> dict[str, float]:
    """Return the microseconds a record takes, each the median of the batches."""
    seals = Seals(AtHand())  # type: ignore[arg-type]  # stands for the database's
    record = examples.record("messages.identified/message.identified-sms")
    batch = [Outgoing(MESSAGES_IDENTIFIED.name, record.customer_id, record.json_bytes())] * RECORDS
    sealed = [(each.topic, each.value) for each in await seals.seal(batch)]
    plain = [(each.topic, each.value) for each in batch]
    times: dict[str, list[float]] = {"seal": [], "open": [], "pass a plain one": [], "validate": []}
    for _ in range(ROUNDS):
        for name, work in (
            ("seal", lambda: seals.seal(batch)),
            ("open", lambda: seals.open(sealed)),
            ("pass a plain one", lambda: seals.open(plain)),
        ):
            began = perf_counter()
            await work()
            times[name].append(perf_counter() - began)
        began = perf_counter()
        for _, value in plain:
            MESSAGES_IDENTIFIED.adapter.validate_json(value)
        times["validate"].append(perf_counter() - began)
    return {name: median(found) / RECORDS * 1e6 for name, found in times.items()}


if __name__ == "__main__":
    for name, microseconds in asyncio.run(measured()).items():
        print(f"{name:18} {microseconds:6.1f} µs a record")  # noqa: T201  (what the run is for)
