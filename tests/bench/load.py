"""Load from outside: wrk with requests made and signed beforehand, so that it costs next to nothing.

wrk comes with Debian (`apt-get install wrk`).
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.webhooks import Webhook

_SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 64


class LoadError(Exception):
    """The load could not be made, or not all of it was answered with success."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a stretch of load saw: requests, their rate a second, latencies in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float


def write_requests(file: Path, webhooks: Iterable[Webhook]) -> None:
    """Write `webhooks` as HTTP/1.1 requests, as the script reads them."""
    with file.open("wb") as out:
        for webhook in webhooks:
            lines = [f"POST {webhook.path} HTTP/1.1", "Host: parley.test"]
            lines += [f"{name}: {value}" for name, value in webhook.headers.items()]
            lines += [f"Content-Length: {len(webhook.body)}", "", ""]
            request = "\r\n".join(lines).encode() + webhook.body
            out.write(b"%d\n" % len(request) + request)


async def load(url: str, requests: Path, seconds: float, connections: int = CONNECTIONS) -> Answered:
    """Send `requests` over and over for `seconds`, one at a time on each connection.

    Raises LoadError when wrk is missing, or when any answer was not a success.
    """
    program = shutil.which("wrk")
    if program is None:
        raise LoadError("wrk is missing (on Debian: apt-get install wrk)")
    result = requests.with_suffix(".result")
    base = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    command = [program, "--threads", "1", "--connections", str(connections), "--timeout", "10s"]
    command += ["--duration", f"{seconds:.0f}s", "--script", str(_SCRIPT), base]
    files = {"LOAD_REQUESTS": str(requests), "LOAD_RESULT": str(result)}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **files},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise LoadError(f"wrk ended with {process.returncode}: {output.decode(errors='replace')[-300:]}")
    seen = json.loads(result.read_text())
    if seen["failed"] or not seen["requests"]:
        raise LoadError(f"{seen['failed']} of {seen['requests']} requests failed")
    return Answered(seen["requests"], seen["requests"] / seen["seconds"], seen["p50"], seen["p99"])
