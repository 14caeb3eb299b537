"""An HTTP request that is held in the middle: its handling has begun, its body is still to come."""

import asyncio
from dataclasses import dataclass

from tests.system.launch import Process


@dataclass
class InFlight:
    """A request whose handling has begun: the server has asked for the body and waits for it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes

    @classmethod
    async def begin(
        cls, process: Process, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> "InFlight":
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        lines = [f"{method} {path} HTTP/1.1", "Host: parley.test", f"Content-Length: {len(body)}"]
        lines += ["Expect: 100-continue", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer, body)

    async def finish(self) -> int:
        """Send the body; return the status of the answer."""
        self.writer.write(self.body)
        answer = await self.reader.read()
        self.writer.close()
        assert answer, "the connection was closed without an answer"
        return int(answer.split()[1])
