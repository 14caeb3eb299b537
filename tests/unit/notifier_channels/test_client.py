"""What all accounts of a replica share when they ask their providers."""

import asyncio

import pytest

from services.chassis.provider_client import provider_client

HANGING = 200


async def test_requests_that_hang_leave_connections_for_other_accounts() -> None:
    asked = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/hangs" not in await reader.readline():
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        asked.release()
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, provider_client(10) as client:
        hanging = [asyncio.create_task(client.get(f"{base}/hangs")) for _ in range(HANGING)]
        async with asyncio.timeout(10):
            for _ in range(HANGING):
                await asked.acquire()
            assert (await client.get(f"{base}/answers")).status_code == 204
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_the_environment_names_no_proxy_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    async with provider_client(10) as client:
        assert not client.trust_env
        assert client._mounts == {}  # noqa: SLF001  (where httpx keeps proxies)
