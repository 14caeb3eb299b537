"""Requests to URLs that others name: files at providers' hosts, integrators' endpoints.

The host is resolved once, every address it has is judged, and the connection goes to a judged one, so
neither another spelling, nor a redirect, nor a name that changes its address leads into our network.
Ranges: IANA's special-purpose address registries (RFC 6890), as `ipaddress` has them.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import httpx

from services.chassis.settings import Settings

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 10.0
MOST_REDIRECTS = 5
_MOST_ADDRESSES = 8
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NEVER: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # metadata of Azure's machines, in a public range
            "192.0.0.0/24",  # protocol assignments; metadata of Oracle's machines
            "192.88.99.0/24",  # 6to4 relays
            "2001::/23",  # Teredo and other protocol assignments
            "2002::/16",  # 6to4: an IPv4 address in other clothes
            "3fff::/20",  # documentation
        ),
    )
)


class Forbidden(httpx.RequestError):
    """The URL, or an address of its host, is none that we call. Trying again does not help."""


def is_outside(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Tell whether `address` is a public one, or in one of the `allowed` networks.

    An IPv4 address inside an IPv6 one (mapped, NAT64) is judged as what it is. Raises ValueError for
    text that is no address.
    """
    judged = _bare(ip_address(address))
    if any(judged in network for network in allowed):
        return True
    if any(judged in network for network in _NEVER) or judged.is_multicast or not judged.is_global:
        return False
    return isinstance(judged, IPv4Address) or judged in _GLOBAL_UNICAST


def _bare(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address


async def resolve(host: str, port: int) -> list[str]:
    """Return the host's addresses, by the system's resolver. Raises OSError or UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class Rules:
    """Where URLs that others name may lead."""

    allowed: tuple[Network, ...] = ()
    """Networks of ours that may be called nevertheless."""
    plain_http: bool = False
    resolve: Resolve = resolve

    def check(self, url: httpx.URL) -> None:
        """Raise Forbidden for a URL of another scheme, with a user, or without a host."""
        if url.scheme not in self.schemes:
            raise Forbidden(f"the scheme must be one of: {', '.join(self.schemes)}")
        if url.userinfo:
            raise Forbidden("a URL may not hold a user or a password")
        if not url.host:
            raise Forbidden("the URL has no host")

    @cached_property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that are called."""
        return ("https", "http") if self.plain_http else ("https",)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the host's addresses, all of them outside. Raises Forbidden, or OSError if it has none."""
        try:
            found = await self.resolve(host, port)
        except UnicodeError:
            raise Forbidden("the host is no name") from None
        if not all(is_outside(address, self.allowed) for address in found):
            raise Forbidden("the host has an address that is not public")
        return found[:_MOST_ADDRESSES]

    async def vet(self, url: str) -> None:
        """Check a URL that somebody wants to be called later, and where its host is now.

        Raises Forbidden; OSError when the host is not found.
        """
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError, ValueError):
            raise Forbidden("this is no URL") from None
        self.check(parsed)
        await self.addresses(parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80))


def rules_of(settings: Settings) -> Rules:
    """Return the rules that the settings give. Raises ValueError for a network that is none."""
    names = (name.strip() for name in settings.outside_allowed_networks.split(","))
    return Rules(tuple(ip_network(name) for name in names if name), settings.outside_plain_http)


def outside_client(settings: Settings, rules: Rules | None = None) -> httpx.AsyncClient:
    """Return a client for URLs that others name. Its requests raise Forbidden, a RequestError.

    No proxy and no credentials of the environment, no cookies, redirects only where a request asks for
    them, each hop judged. Read answers through `exchange.exchange`, which bounds their size and time.
    """
    return httpx.AsyncClient(
        transport=_Transport(rules or rules_of(settings)),
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "Parley", "Accept-Encoding": "identity"},
        max_redirects=MOST_REDIRECTS,
        trust_env=False,
    )


class _Transport(httpx.AsyncHTTPTransport):
    """HTTPX's own transport on connections that go only where the rules let them."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(trust_env=False)
        self._rules = rules
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_Connections(rules),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._rules.check(request.url)
        return await super().handle_async_request(request)


class _Connections(httpcore.AsyncNetworkBackend):
    """Connects to the address that was judged, not to the name."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's own parameter)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return await self._connected(host, port, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error

    async def _connected(
        self,
        host: str,
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._rules.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError("the host was not found") from error
        failure: Exception = httpcore.ConnectError("the host has no address")
        share = CONNECT_SECONDS / max(len(addresses), 1)
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    address, port, share, local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
