"""The one Kafka request that launchers need: it counts the brokers."""

import socket
import struct

_METADATA = 3
_VERSION = 1
_SECONDS = 1.0


def kafka_brokers(host: str, port: int) -> int:
    """Return the number of brokers that `host:port` knows of; 0 while it does not answer.

    A Metadata request of version 1 for no topics (Kafka protocol guide, "Metadata API (Key: 3)").
    """
    client = b"parley"
    body = struct.pack(">hhih", _METADATA, _VERSION, 1, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = b""
            while len(answer) < 12 and (part := connection.recv(4096)):  # noqa: PLR2004 - size, correlation id, count
                answer += part
    except OSError:
        return 0
    return int(struct.unpack(">i", answer[8:12])[0]) if len(answer) >= 12 else 0  # noqa: PLR2004 - as above
