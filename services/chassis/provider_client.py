"""Requests to our providers' own APIs, whose addresses an admin gave. For others' URLs see `outside`."""

import httpx


def provider_client(timeout_seconds: float) -> httpx.AsyncClient:
    """Return a client that lets each connection, write and read take so long.

    No proxy and no credentials of the environment: they would send our secrets elsewhere. Without a common
    limit of connections, since a slow provider must not use up all; who asks limits itself.
    """
    return httpx.AsyncClient(
        timeout=timeout_seconds,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        headers={"Accept-Encoding": "identity"},
        trust_env=False,
    )
