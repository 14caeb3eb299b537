"""`python -m tests.system.simulator`: the provider simulator alone, whose status webhooks go to any ingest.

Reads PORT, HOST, PUBLIC_URL, INGEST_URLS (by comma) and the settings that name the accounts.
"""

import itertools
import os
from collections.abc import Mapping

import httpx
import uvicorn

from deploy.local.simulator.app import build_simulator
from deploy.local.simulator.callbacks import Post
from services.chassis.accounts import Accounts
from services.chassis.settings import Settings

_ANY = "http://any-ingest"


def spreading(client: httpx.AsyncClient, urls: list[str]) -> Post:
    """Return a `post` that goes to the next of `urls` that takes the connection."""
    turn = itertools.count()

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        first = next(turn)
        for number in range(len(urls)):
            base = urls[(first + number) % len(urls)]
            try:
                answer = await client.post(base + url.removeprefix(_ANY), headers=dict(headers), content=body)
            except httpx.ConnectError:
                continue
            except httpx.HTTPError as error:
                raise ConnectionError(type(error).__name__) from error
            return answer.status_code
        raise ConnectionError("nobody takes webhooks")

    return post


def main() -> None:
    """Serve until told to stop."""
    settings = Settings()
    client = httpx.AsyncClient(timeout=15, trust_env=False)
    app = build_simulator(
        Accounts.load(settings.accounts_file),
        public_url=settings.public_url,
        local_url=_ANY,
        post=spreading(client, os.environ["INGEST_URLS"].split(",")),
    )
    uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
