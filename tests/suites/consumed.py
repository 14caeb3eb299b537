"""Records as a consumer gets them."""

from collections.abc import Sequence

from aiokafka import ConsumerRecord


def consumed(
    topic: str,
    offset: int,
    *,
    partition: int = 0,
    key: bytes | None = None,
    value: bytes | None = b"{}",
    headers: Sequence[tuple[str, bytes]] = (),
    timestamp: int = 1_772_355_617_000,
) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )
