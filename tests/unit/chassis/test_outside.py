"""URLs that others name never lead into our network, however they are spelled."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.exchange import TooLarge, exchange
from services.chassis.outside import Forbidden, Rules, is_outside, outside_client, resolve, rules_of
from services.chassis.settings import Settings

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "172.32.0.1"]
ANY = "0.0.0.0"  # noqa: S104  (refused, not bound)
INSIDE = [
    ANY,
    "127.0.0.1", "127.255.255.254", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "192.88.99.1", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    "2002:7f00:1::1", "2002:0a00:0001::", "2001:0:7f00:1::", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1",
]  # fmt: skip
LOOPBACK_SPELLINGS = [
    ANY,
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "017700000001",
    "0177.0.0.1", "0177.1", "127.000.000.001", "0", "localhost", "LOCALHOST", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "127.0.0.1.", "localhost.",
    "１２７.０.０.１", "①②⑦.⓪.⓪.①", "127。0。0。1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",  # noqa: RUF001  (spellings of hosts)
    "10.0.0.8", "0xa000008", "167772168", "192.168.0.1", "0xc0.0xa8.1", "169.254.169.254", "2852039166",
    "0xa9fea9fe", "0251.0376.0251.0376", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_outside(address: str) -> None:
    assert is_outside(address)


@pytest.mark.parametrize("address", INSIDE)
def test_special_addresses_are_not(address: str) -> None:
    assert not is_outside(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_inside_an_ipv6_one(address: object) -> None:
    plain = is_outside(str(address))
    assert is_outside(f"::ffff:{address}") == plain
    assert is_outside(f"64:ff9b::{address}") == plain


def test_a_network_may_be_allowed_and_only_that() -> None:
    allowed = (ip_network("127.0.0.0/8"),)
    assert is_outside("127.0.0.1", allowed)
    assert is_outside("::ffff:127.0.0.1", allowed)
    assert not is_outside("10.0.0.1", allowed)


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
async def test_no_spelling_of_an_inside_host_is_called(host: str) -> None:
    calls, connected = [], asyncio.Event()

    async def resolving(host: str, port: int) -> list[str]:
        calls.append(host)
        return await resolve(host, port)

    rules = Rules(plain_http=True, resolve=resolving)
    async with (
        _server(lambda _: _answer(b"inside"), connected) as port,
        outside_client(Settings(), rules) as client,
    ):
        with pytest.raises((Forbidden, httpx.ConnectError, httpx.InvalidURL)) as caught:
            await _get(client, f"http://{host}:{port}/")
        if isinstance(caught.value, httpx.ConnectError):
            assert str(caught.value) == "the host was not found"  # refused by the resolver, not tried
        with pytest.raises((Forbidden, OSError)):
            await rules.vet(f"http://{host}:{port}/")
    assert not connected.is_set()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://files.example/a", "scheme"),
        ("ftp://files.example/a", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://files.example/", "scheme"),
        ("https://user:secret@files.example/", "user"),
        ("https://files.example@127.0.0.1/", "user"),
        ("https://127.0.0.1#@files.example/", "not public"),
        ("https:///path", "host"),
        ("//files.example/", "scheme"),
        ("https://[::1", "no URL"),
        ("https://exa\x00mple/", "no URL"),
    ],
)
async def test_what_else_a_url_may_not_be(url: str, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        await Rules(resolve=_fixed("127.0.0.1")).vet(url)


async def test_a_public_url_passes() -> None:
    await Rules(resolve=_fixed("8.8.8.8", "2606:4700::1111")).vet("https://files.example:8443/a?b")


async def test_one_inside_address_among_several_is_enough_to_refuse() -> None:
    with pytest.raises(Forbidden):
        await Rules(resolve=_fixed("8.8.8.8", "10.0.0.1")).vet("https://files.example/")


async def test_a_name_that_changes_its_address_leads_nowhere_else() -> None:
    """DNS rebinding: public when judged, inside at the next look; the connection takes the judged one."""
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])
    reached = asyncio.Event()

    async def resolving(_host: str, _port: int) -> list[str]:
        return next(answers)

    rules = Rules((ip_network("127.0.0.2/32"),), plain_http=True, resolve=resolving)
    async with (
        _server(lambda _: _answer(b"secret"), reached, "127.0.0.1") as port,
        outside_client(Settings(), rules) as client,
    ):
        with pytest.raises(httpx.ConnectError):  # nobody listens on the judged address
            await _get(client, f"http://files.example:{port}/")
        with pytest.raises(Forbidden):
            await _get(client, f"http://files.example:{port}/")
    assert not reached.is_set()


async def test_the_connection_goes_to_the_judged_address_under_the_urls_own_name() -> None:
    seen: list[bytes] = []

    def answering(request: bytes) -> bytes:
        seen.append(request)
        return _answer(b"file")

    async with _server(answering) as port, _local_client(resolve=_fixed("127.0.0.1")) as client:
        answer = await _get(client, f"http://files.example:{port}/a")
    assert answer.content == b"file"
    assert f"host: files.example:{port}".encode() in seen[0].lower()


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "http://0xa000001/",
        "http://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "//10.0.0.1/x",
        "http://user@127.0.0.1/",
    ],
)
async def test_every_hop_of_a_redirect_is_judged(location: str) -> None:
    async with _server(lambda _: _redirect(location)) as port, _local_client() as client:
        with pytest.raises((Forbidden, httpx.UnsupportedProtocol)):
            await _get(client, f"http://127.0.0.1:{port}/", follow_redirects=True)


async def test_redirects_end() -> None:
    async with _server(lambda _: _redirect("/again")) as port, _local_client() as client:
        with pytest.raises(httpx.TooManyRedirects):
            await _get(client, f"http://127.0.0.1:{port}/", follow_redirects=True)


async def test_credentials_do_not_follow_to_another_host() -> None:
    seen: list[bytes] = []

    def storing(request: bytes) -> bytes:
        seen.append(request)
        return _answer(b"media")

    async with (
        _server(storing) as storage,
        _server(lambda _: _redirect(f"http://127.0.0.1:{storage}/media")) as port,
        _local_client() as client,
    ):
        auth = httpx.BasicAuth("AC1", "token")
        answer = await _get(client, f"http://127.0.0.1:{port}/", follow_redirects=True, auth=auth)
    assert answer.content == b"media"
    assert b"authorization" not in seen[0].lower()


async def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with _server(lambda _: _answer(b"direct")) as port, _local_client() as client:
        assert (await _get(client, f"http://127.0.0.1:{port}/")).content == b"direct"


async def test_cookies_are_not_kept() -> None:
    async with _server(lambda _: _answer(b"", "Set-Cookie: a=b")) as port, _local_client() as client:
        await _get(client, f"http://127.0.0.1:{port}/")
        assert not list(client.cookies.jar)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 5000,
    ],
    ids=["declared", "absurd", "undeclared"],
)
async def test_what_is_too_large_is_not_read(answer: bytes) -> None:
    async with _server(lambda _: answer) as port, _local_client() as client:
        with pytest.raises((TooLarge, httpx.RemoteProtocolError)):
            await _get(client, f"http://127.0.0.1:{port}/", most_bytes=1000)


@pytest.mark.parametrize("wbits", [31, 15], ids=["gzip", "zlib"])
async def test_a_compressed_bomb_is_left_before_it_goes_off(wbits: int) -> None:
    packing = zlib.compressobj(9, zlib.DEFLATED, wbits)
    bomb = b"".join(packing.compress(bytes(1_000_000)) for _ in range(200)) + packing.flush()
    name = "gzip" if wbits == 31 else "deflate"
    async with (
        _server(lambda _: _answer(bomb, f"Content-Encoding: {name}")) as port,
        _local_client() as client,
    ):
        with pytest.raises(TooLarge):
            await _get(client, f"http://127.0.0.1:{port}/", most_bytes=1_000_000)


@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=3))
def test_compressed_answers_are_unpacked_whole(members: list[bytes]) -> None:
    packed = b"".join(gzip.compress(member, mtime=0) for member in members)

    async def run() -> bytes:
        transport = httpx.MockTransport(
            lambda _: httpx.Response(
                200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(packed)
            )
        )
        async with httpx.AsyncClient(transport=transport) as client:
            return (await _get(client, "https://files.example/", most_bytes=1_000_000)).content

    assert asyncio.run(run()) == b"".join(members)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip"),
        (b"no gzip", "gzip"),
        (b"?", "br"),
        (b"?", "gzip, gzip"),
    ],
    ids=["cut off", "no gzip", "unknown", "twice"],
)
async def test_what_cannot_be_unpacked_is_an_error(body: bytes, encoding: str) -> None:
    async with (
        _server(lambda _: _answer(body, f"Content-Encoding: {encoding}")) as port,
        _local_client() as client,
    ):
        with pytest.raises(httpx.DecodingError):
            await _get(client, f"http://127.0.0.1:{port}/")


async def test_an_answer_that_drips_is_given_up() -> None:
    left = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            writer.close()
            left.set()

    async with await asyncio.start_server(drip, "127.0.0.1") as server, _local_client() as client:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await _get(client, f"http://127.0.0.1:{port}/", seconds=0.2)
        async with asyncio.timeout(5):
            await left.wait()


def test_the_settings_name_networks() -> None:
    rules = rules_of(Settings(outside_allowed_networks="127.0.0.0/8, ::1/128", outside_plain_http=True))
    assert rules.allowed == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert rules.schemes == ("https", "http")
    assert rules_of(Settings()).schemes == ("https",)
    with pytest.raises(ValueError, match="network"):
        rules_of(Settings(outside_allowed_networks="network"))


def _fixed(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolving(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolving


def _local_client(resolve: Callable[[str, int], Awaitable[list[str]]] = resolve) -> httpx.AsyncClient:
    return outside_client(Settings(), Rules((ip_network("127.0.0.1/32"),), plain_http=True, resolve=resolve))


async def _get(
    client: httpx.AsyncClient, url: str, most_bytes: int = 1_000_000, seconds: float = 5, **content: object
) -> httpx.Response:
    return await exchange(client, "GET", url, most_bytes=most_bytes, seconds=seconds, **content)


def _answer(body: bytes, *headers: str) -> bytes:
    head = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def _redirect(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def _server(
    answer: Callable[[bytes], bytes], connected: asyncio.Event | None = None, host: str | None = None
) -> AsyncIterator[int]:
    """Serve raw answers on a free port of this machine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connected:
            connected.set()
        try:
            writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, host or "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]
