"""How each provider gives its files, with which credentials, and what its refusals mean."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from schemas.common import Channel
from services.chassis.accounts import Account
from services.chassis.outside import Forbidden
from services.ingest.attachments import GivenUp, Job, Later, Patience, Place, next_try
from services.ingest.sources import Downloads

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILE = b"\x89PNG\r\n\x1a\n" + bytes(40)
SECRETS = {"account_sid": "AC1", "auth_token": "token", "access_token": "bearer-1", "token": "7:AA"}
BASIC = "Basic QUMxOnRva2Vu"
MEDIA = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"
Answer = Callable[[httpx.Request], httpx.Response]


def account(provider: str, api_base: str | None = None) -> Account:
    return Account(
        provider=provider,
        account="demo",
        channel=Channel.CHAT,
        address="x",
        inbox="support",
        secrets=SECRETS,
        api_base=api_base,
    )


def job(provider: str, where: str, place: Place = Place.URL, attempts: int = 1) -> Job:
    return Job("a1", provider, "demo", place, where, 0, NOW, attempts=attempts)


class World:
    """What answers, and what it was asked: by us outside, or at an account's own API."""

    def __init__(self, answers: dict[str, httpx.Response | Exception]) -> None:
        self._answers = answers
        self.outside: list[httpx.Request] = []
        self.own: list[httpx.Request] = []

    def _answer(self, seen: list[httpx.Request]) -> Answer:
        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            found = self._answers[str(request.url)]
            if isinstance(found, Exception):
                raise found
            return found

        return answer

    async def fetch(self, of: Account, wanted: Job, most_bytes: int = 1000) -> bytes:
        outside = httpx.AsyncClient(transport=httpx.MockTransport(self._answer(self.outside)))
        own = httpx.AsyncClient(transport=httpx.MockTransport(self._answer(self.own)))
        async with outside, own:
            return (await Downloads(outside, own, most_bytes, 5).fetch(of, wanted)).data


def found(body: bytes = FILE) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"content-type": "image/png"})


def moved(to: str) -> httpx.Response:
    return httpx.Response(307, headers={"location": to})


async def test_twilio_media_is_asked_for_with_the_accounts_credentials_and_its_storage_without() -> None:
    world = World(
        {MEDIA: moved("https://storage.example/ME1?sig=1"), "https://storage.example/ME1?sig=1": found()}
    )
    assert await world.fetch(account("twilio-sms"), job("twilio-sms", MEDIA)) == FILE
    assert [each.headers.get("authorization") for each in world.outside] == [BASIC, None]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/ME1",
        "https://twilio.com.evil.example/ME1",
        "https://eviltwilio.com/ME1",
        "http://api.twilio.com/ME1",
    ],
)
async def test_nobody_else_gets_credentials(url: str) -> None:
    world = World({url: found()})
    await world.fetch(account("twilio-sms"), job("twilio-sms", url))
    assert "authorization" not in world.outside[0].headers


async def test_an_account_with_an_api_of_its_own_is_asked_there_and_only_below_it() -> None:
    base = "http://127.0.0.1:8080/dev/providers/twilio-sms"
    ours = account("twilio-sms", base)
    world = World({f"{base}/Media/1": moved(f"{base}/storage/1"), f"{base}/storage/1": found()})
    assert await world.fetch(ours, job("twilio-sms", f"{base}/Media/1")) == FILE
    assert (len(world.own), len(world.outside)) == (2, 0)
    for url in (
        f"{base}/../../secrets",
        f"{base}/%2e%2e/secrets",
        f"{base}/%252e%252e/x",
        f"{base}x/1",
        "http://127.0.0.1:8080/livez",
    ):
        elsewhere = World({str(httpx.URL(url)): Forbidden("inside")})
        with pytest.raises(GivenUp, match="address_not_allowed"):
            await elsewhere.fetch(ours, job("twilio-sms", url))
        assert (len(elsewhere.own), len(elsewhere.outside)) == (0, 1)


async def test_a_redirect_into_our_network_ends_it() -> None:
    world = World({MEDIA: moved("http://169.254.169.254/"), "http://169.254.169.254/": Forbidden("inside")})
    with pytest.raises(GivenUp, match="address_not_allowed"):
        await world.fetch(account("twilio-sms"), job("twilio-sms", MEDIA))
    assert "authorization" not in world.outside[1].headers


async def test_redirects_end() -> None:
    world = World({MEDIA: moved(MEDIA)})
    with pytest.raises(GivenUp):
        await world.fetch(account("twilio-sms"), job("twilio-sms", MEDIA))


async def test_whatsapp_turns_a_media_id_into_a_url_and_asks_for_it_with_the_token() -> None:
    url = "https://lookaside.fbsbx.com/whatsapp?mid=1"
    world = World(
        {
            "https://graph.facebook.com/v23.0/654": httpx.Response(200, json={"url": url, "file_size": 48}),
            url: found(),
        }
    )
    assert await world.fetch(account("whatsapp"), job("whatsapp", "654", Place.MEDIA)) == FILE
    assert {each.headers.get("authorization") for each in world.outside} == {"Bearer bearer-1"}


async def test_whatsapp_that_names_another_host_gets_no_token_there() -> None:
    url = "https://files.example/1"
    world = World(
        {"https://graph.facebook.com/v23.0/654": httpx.Response(200, json={"url": url}), url: found()}
    )
    await world.fetch(account("whatsapp"), job("whatsapp", "654", Place.MEDIA))
    assert "authorization" not in world.outside[1].headers


async def test_telegram_turns_a_file_id_into_a_path() -> None:
    base = "https://api.telegram.org"
    asked = f"{base}/bot7:AA/getFile?file_id=u%2F1"
    result = {"ok": True, "result": {"file_id": "u/1", "file_path": "photos/a b.jpg", "file_size": 48}}
    world = World({asked: httpx.Response(200, json=result), f"{base}/file/bot7:AA/photos/a%20b.jpg": found()})
    assert await world.fetch(account("telegram"), job("telegram", "u/1", Place.MEDIA)) == FILE


async def test_line_gives_the_content_of_a_message_once_it_is_prepared() -> None:
    url = "https://api-data.line.me/v2/bot/message/42/content"
    ours = account("line").model_copy(update={"secrets": {"channel_access_token": "line-1"}})
    world = World({url: found()})
    assert await world.fetch(ours, job("line", "42", Place.MEDIA)) == FILE
    assert world.outside[0].headers["authorization"] == "Bearer line-1"
    with pytest.raises(Later):
        await World({url: httpx.Response(202)}).fetch(ours, job("line", "42", Place.MEDIA))


async def test_a_provider_without_anything_special_is_just_asked() -> None:
    world = World({"https://cdn.example/1": found()})
    assert await world.fetch(account("messenger"), job("messenger", "https://cdn.example/1")) == FILE


@pytest.mark.parametrize(
    ("provider", "answer"),
    [
        ("whatsapp", {"url": "https://lookaside.fbsbx.com/1", "file_size": 1001}),
        ("whatsapp", {"url": "https://lookaside.fbsbx.com/1", "file_size": "1001"}),
        ("telegram", {"result": {"file_path": "x", "file_size": 1001}}),
    ],
)
async def test_what_is_said_to_be_too_large_is_not_fetched(provider: str, answer: object) -> None:
    base = "https://api.example"
    place = "v23.0/654" if provider == "whatsapp" else "bot7:AA/getFile?file_id=654"
    world = World({f"{base}/{place}": httpx.Response(200, json=answer)})
    with pytest.raises(GivenUp, match="too_large"):
        await world.fetch(account(provider, base), job(provider, "654", Place.MEDIA))
    assert len(world.own) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(404), "not_found"),
        (httpx.Response(410), "not_found"),
        (httpx.Response(403), "expired"),
        (httpx.Response(401), "expired"),
        (httpx.Response(400), "expired"),
        (found(bytes(1001)), "too_large"),
        (Forbidden("inside"), "address_not_allowed"),
        (httpx.UnsupportedProtocol("ftp"), "address_not_allowed"),
    ],
)
async def test_some_answers_are_final(answer: httpx.Response | Exception, reason: str) -> None:
    with pytest.raises(GivenUp) as caught:
        await World({"https://cdn.example/1": answer}).fetch(
            account("messenger"), job("messenger", "https://cdn.example/1")
        )
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "url", ["https://[::1", "no url", "https://exa\x00mple/", "", "https://" + "a" * 70000]
)
async def test_what_is_no_url_is_final(url: str) -> None:
    def never(_: httpx.Request) -> httpx.Response:
        raise httpx.UnsupportedProtocol("no scheme")

    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
        with pytest.raises(GivenUp, match="address_not_allowed"):
            await Downloads(client, client, 1000, 5).fetch(account("messenger"), job("messenger", url))


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (httpx.Response(429, headers={"retry-after": "7"}), 7.0),
        (httpx.Response(503, headers={"retry-after": "soon"}), None),
        (httpx.Response(500), None),
        (httpx.ConnectError("away"), None),
        (httpx.ReadTimeout("slow"), None),
        (httpx.RemoteProtocolError("broken"), None),
    ],
)
async def test_others_are_tried_again(answer: httpx.Response | Exception, after: float | None) -> None:
    with pytest.raises(Later) as caught:
        await World({"https://cdn.example/1": answer}).fetch(
            account("messenger"), job("messenger", "https://cdn.example/1")
        )
    assert caught.value.after_seconds == after


async def test_twilio_is_asked_again_for_media_that_its_storage_does_not_have_yet() -> None:
    ours = account("twilio-sms")
    with pytest.raises(Later):
        await World({MEDIA: httpx.Response(404)}).fetch(ours, job("twilio-sms", MEDIA, attempts=3))
    with pytest.raises(GivenUp, match="not_found"):
        await World({MEDIA: httpx.Response(404)}).fetch(ours, job("twilio-sms", MEDIA, attempts=4))


@pytest.mark.parametrize("status", [401, 403, 500, 429])
async def test_a_look_up_that_our_token_fails_is_tried_again(status: int) -> None:
    world = World({"https://graph.facebook.com/v23.0/654": httpx.Response(status)})
    with pytest.raises(Later):
        await world.fetch(account("whatsapp"), job("whatsapp", "654", Place.MEDIA))


@pytest.mark.parametrize("status", [401, 403])
async def test_a_file_that_our_credentials_do_not_open_is_tried_again_and_one_asked_for_without_is_not(
    status: int,
) -> None:
    with pytest.raises(Later):
        await World({MEDIA: httpx.Response(status)}).fetch(account("twilio-sms"), job("twilio-sms", MEDIA))
    storage = "https://storage.example/ME1"
    with pytest.raises(GivenUp, match="expired"):
        await World({MEDIA: moved(storage), storage: httpx.Response(status)}).fetch(
            account("twilio-sms"), job("twilio-sms", MEDIA)
        )


@pytest.mark.parametrize("asked", ["86400000", "9" * 30, "9" * 400])
async def test_however_long_a_provider_asks_us_to_wait_patience_ends(asked: str) -> None:
    busy = httpx.Response(429, headers={"retry-after": asked})
    wanted = job("messenger", "https://cdn.example/1")
    with pytest.raises(Later) as caught:
        await World({"https://cdn.example/1": busy}).fetch(account("messenger"), wanted)
    patience = Patience(timedelta(seconds=2), timedelta(minutes=10), timedelta(days=1))
    after = caught.value.after_seconds
    assert next_try(wanted, NOW, patience, after) == NOW + timedelta(minutes=10)
    assert next_try(wanted, NOW + timedelta(days=1), patience, after) is None


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"url": 5}', b'{"url": ""}'])
async def test_a_look_up_without_a_url_is_final(body: bytes) -> None:
    world = World({"https://graph.facebook.com/v23.0/654": httpx.Response(200, content=body)})
    with pytest.raises(GivenUp, match="expired"):
        await world.fetch(account("whatsapp"), job("whatsapp", "654", Place.MEDIA))
