"""What the operator's system is asked, what its answers mean, and when it is left in peace."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from services.chassis.secrets import BadSecret
from services.identity.domain.breaker import FAILURES_TO_OPEN, PAUSE, Breaker
from services.identity.domain.profile import Profile
from services.identity.lookup.answers import MOST_BYTES, Said, digest, question, read
from services.identity.lookup.asking import Asking, asking_of, secrets_of
from services.identity.settings import IdentitySettings
from tests.unit.identity.messages import EMAIL, MAIL_FROM, NOW, PHONE

SECRET, OLDER = "whsec_" + "YWFh" * 11, "whsec_" + "YmJi" * 11
URL = "https://shop.example/parley"
BODY = question(Profile("c-1", identifiers=(PHONE, EMAIL)))


def asking(answer: object, seconds: float = 2.0) -> Asking:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))  # type: ignore[arg-type]
    return Asking(client, URL, (SECRET, OLDER), seconds, lambda: datetime.now(UTC))


async def test_a_question_is_signed_with_every_valid_secret() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"attributes": {"tier": "gold"}})

    said = await asking(answer)("q-1", BODY)
    assert said.data is not None
    assert said.data.attributes == {"tier": "gold"}
    (request,) = asked
    assert request.headers["webhook-id"] == "q-1"
    for secret in (SECRET, OLDER):
        verified = Webhook(secret).verify(request.content.decode(), dict(request.headers))
        assert verified["data"] == {
            "customer_id": "c-1",
            "identifiers": [
                {"kind": "phone", "value": "+15551230001", "verified": True},
                {"kind": "email", "value": "ada@example.org", "verified": True},
            ],
        }


def _fails(error: Exception) -> object:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (_fails(httpx.ReadTimeout("late")), "timeout"),
        (_fails(httpx.ConnectError("nobody")), "not_connected"),
        (_fails(httpx.RemoteProtocolError("?")), "unreadable"),
        (lambda _: httpx.Response(200, content=b"x" * (MOST_BYTES + 1)), "too_large"),
        (lambda _: httpx.Response(302, headers={"location": "https://x.example"}), "refused"),
        (lambda _: httpx.Response(500), "refused"),
        (lambda _: httpx.Response(404), "unknown"),
    ],
)
async def test_whatever_the_other_side_does_is_an_outcome(answer: object, outcome: str) -> None:
    assert await asking(answer)("q-1", BODY) == Said(outcome)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'"gold"',
        b"[" * 50_000,
        b'{"attributes": 7}',
        b'{"attributes": {"a.b": "x"}}',
        b'{"attributes": {"$a": "x"}}',
        b'{"attributes": {"tier": {"deep": 1}}}',
        b'{"attributes": {"tier": NaN}}',
        b'{"name": "\\ud800"}',
        b'{"external_ids": {"bad source": "1"}}',
        b'{"external_ids": {"shop": ""}}',
        json.dumps({"attributes": {f"a{n}": "x" for n in range(51)}}).encode(),
    ],
)
def test_an_answer_of_another_form_is_unreadable(body: bytes) -> None:
    assert read(200, body) == Said("unreadable")


def test_numbers_and_truths_are_taken_as_text() -> None:
    said = read(200, b'{"name": null, "attributes": {"orders": 7, "vip": true, "gone": null}, "more": 1}')
    assert said.data is not None
    assert said.data.attributes == {"orders": "7", "vip": "true", "gone": None}
    assert said.data.name is None


def test_what_a_customer_is_known_by_changes_the_digest_and_its_order_does_not() -> None:
    assert digest([PHONE, EMAIL]) == digest([EMAIL, PHONE])
    assert len({digest([PHONE]), digest([EMAIL]), digest([MAIL_FROM])}) == 3


def test_who_fails_again_and_again_is_left_in_peace_for_a_while() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker = breaker.after(NOW, failed=True)
    assert breaker.room(8, NOW) == 8
    breaker = breaker.after(NOW, failed=True)
    assert breaker.room(8, NOW + PAUSE - timedelta(seconds=1)) == 0
    assert breaker.room(8, NOW + PAUSE) == 1
    assert breaker.after(NOW + PAUSE, failed=True).room(8, NOW + PAUSE) == 0
    assert breaker.after(NOW + PAUSE, failed=False).room(8, NOW + PAUSE) == 8


async def test_the_secret_may_be_elsewhere_and_must_be_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_SECRET", OLDER)
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert secrets_of(SECRET) == (SECRET,)
    assert secrets_of(f"[{{file: {file}}}, {{env: SHOP_SECRET}}]") == (SECRET, OLDER)
    for wrong in ("", "no base64!", "whsec_YWFh", "{env: NOT_SET_HERE}"):
        with pytest.raises(BadSecret, match="CUSTOMER_DATA_SECRET") as refused:
            secrets_of(wrong)
        assert "no base64!" not in str(refused.value)
    assert asking_of(IdentitySettings(customer_data_url="")) is None


async def test_a_private_address_is_called_only_where_that_is_set() -> None:
    def settings(*, private: bool) -> IdentitySettings:
        return IdentitySettings(
            customer_data_url="http://127.0.0.1:9/",
            customer_data_secret=SecretStr(SECRET),
            customer_data_private=private,
        )

    outcomes = []
    for private in (False, True):
        made = asking_of(settings(private=private))
        assert made is not None
        outcomes.append((await made("q-1", BODY)).outcome)
        await made.client.aclose()
    assert outcomes == ["forbidden_address", "not_connected"]
