"""What a check asks of a provider, and what it says of each kind of answer; never a secret."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.simulator.app import build_simulator
from services.chassis.accounts import Account, Accounts
from services.notifier import accounts as command
from services.notifier.accounts import Finding, check, main, table
from services.notifier.channels.registry import CHECKS, SENDERS
from services.notifier.settings import NotifierSettings

PUBLIC = "https://hooks.example.com/"
SECRETS = {
    "account_sid": "AC1",
    "auth_token": "hidden-1",
    "access_token": "hidden-2",
    "token": "7:hidden-3",
    "channel_access_token": "hidden-4",
    "api_key": "hidden-5",
    "server_token": "hidden-6",
}
ADDRESSES = {
    "twilio-sms": ("sms", "+15550001111"),
    "twilio-voice": ("voice", "+15550001111"),
    "whatsapp": ("whatsapp", "900100200300"),
    "messenger": ("messenger", "800100200300"),
    "instagram": ("instagram", "700100200300"),
    "telegram": ("telegram", "7"),
    "line": ("line", "Ubot"),
    "sendgrid": ("email", "support@parley.example"),
    "mailgun": ("email", "support@parley.example"),
    "postmark": ("email", "support@parley.example"),
    "mime": ("email", "support@parley.example"),
}
NUMBER = {"phone_number": "+15550001111", "capabilities": {"sms": True, "voice": False}}
WEBHOOK = "https://hooks.example.com/ingest/v1/telegram/demo"
Answers = Mapping[str, tuple[int, object]]
GOOD: dict[str, Answers] = {
    "twilio-sms": {
        "/2010-04-01/Accounts/AC1.json": (200, {"status": "active"}),
        "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers.json": (200, {"incoming_phone_numbers": [NUMBER]}),
    },
    "whatsapp": {"/v23.0/900100200300": (200, {"id": "900100200300", "quality_rating": "GREEN"})},
    "messenger": {"/v23.0/me": (200, {"id": "800100200300"})},
    "instagram": {"/v23.0/me": (200, {"id": "700100200300"})},
    "telegram": {
        "/bot7:hidden-3/getMe": (200, {"ok": True, "result": {"id": 7}}),
        "/bot7:hidden-3/getWebhookInfo": (
            200,
            {"ok": True, "result": {"url": WEBHOOK, "pending_update_count": 3}},
        ),
    },
    "line": {"/v2/bot/info": (200, {"userId": "Ubot"})},
    "sendgrid": {"/v3/scopes": (200, {"scopes": ["mail.send", "alerts.read"]})},
    "mailgun": {"/v4/domains/parley.example": (200, {"domain": {"state": "active"}})},
    "postmark": {"/server": (200, {"DeliveryType": "Live"})},
}
PROOFS = {
    "twilio-sms": ("authorization", "Basic QUMxOmhpZGRlbi0x"),
    "whatsapp": ("authorization", "Bearer hidden-2"),
    "messenger": ("authorization", "Bearer hidden-2"),
    "instagram": ("authorization", "Bearer hidden-2"),
    "line": ("authorization", "Bearer hidden-4"),
    "sendgrid": ("authorization", "Bearer hidden-5"),
    "mailgun": ("authorization", "Basic YXBpOmhpZGRlbi01"),
    "postmark": ("x-postmark-server-token", "hidden-6"),
}


def account(provider: str, **changes: Any) -> Account:
    channel, address = ADDRESSES[provider]
    values = {"provider": provider, "account": "demo", "channel": channel, "address": address}
    return Account.model_validate({"inbox": "support", "secrets": SECRETS} | values | changes)


async def found(ours: Account, answer: Callable[[httpx.Request], httpx.Response]) -> Finding:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        (finding,) = await check([ours], client, PUBLIC)
    assert "hidden" not in str(finding)
    return finding


def says(answers: Answers, asked: list[httpx.Request] | None = None) -> Callable[..., httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        status, body = answers[request.url.path]
        return httpx.Response(status, json=body)

    return answer


@pytest.mark.parametrize("provider", GOOD)
async def test_an_account_that_works_is_ok_and_is_only_read(provider: str) -> None:
    asked: list[httpx.Request] = []
    finding = await found(account(provider), says(GOOD[provider], asked))
    assert (finding.source, finding.state, finding.remedy) == (f"{provider}/demo", "ok", "")
    assert [request.url.path for request in asked] == list(GOOD[provider])
    assert {request.method for request in asked} == {"GET"}
    for request in asked if provider in PROOFS else ():
        name, value = PROOFS[provider]
        assert request.headers[name] == value


PAGE: Answers = {"/v23.0/me": (200, {"id": "1"})}
TROUBLES: list[tuple[str, Answers, str, str]] = [
    ("twilio-sms", {"/2010-04-01/Accounts/AC1.json": (200, {"status": "suspended"})}, "suspended", "console"),
    (
        "twilio-sms",
        {
            **GOOD["twilio-sms"],
            "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers.json": (200, {"incoming_phone_numbers": []}),
        },
        "+15550001111 is not a number",
        "correct `address`",
    ),
    ("twilio-voice", GOOD["twilio-sms"], "not capable of voice", "use a number that is"),
    ("whatsapp", {"/v23.0/900100200300": (401, {"error": {"code": 190}})}, "expired", "permanent token"),
    ("whatsapp", {"/v23.0/900100200300": (400, {"error": {"code": 100}})}, "(code 100)", "correct `address`"),
    ("messenger", PAGE, "another page", "token of this page"),
    (
        "telegram",
        {**GOOD["telegram"], "/bot7:hidden-3/getWebhookInfo": (200, {"result": {"url": ""}})},
        "updates go nowhere",
        f"setWebhook with {WEBHOOK}",
    ),
    (
        "telegram",
        {**GOOD["telegram"], "/bot7:hidden-3/getWebhookInfo": (200, {"result": {"url": "https://x"}})},
        "to another URL",
        "setWebhook",
    ),
    ("telegram", {"/bot7:hidden-3/getMe": (404, {"ok": False})}, "`token` is refused", "@BotFather"),
    ("sendgrid", {"/v3/scopes": (200, {"scopes": ["alerts.read"]})}, "may not send", "mail.send"),
    ("mailgun", {"/v4/domains/parley.example": (404, {})}, "no domain parley.example", "api.eu.mailgun.net"),
    (
        "mailgun",
        {"/v4/domains/parley.example": (200, {"domain": {"state": "unverified"}})},
        "is unverified",
        "DNS",
    ),
    ("postmark", {"/server": (200, {"DeliveryType": "Sandbox"})}, "sandbox", "live server"),
]


@pytest.mark.parametrize(("provider", "answers", "wrong", "remedy"), TROUBLES)
async def test_trouble_is_told_with_what_to_do(
    provider: str, answers: Answers, wrong: str, remedy: str
) -> None:
    finding = await found(account(provider), says(answers))
    assert finding.state == "trouble"
    assert wrong in finding.what
    assert remedy in finding.remedy


@pytest.mark.parametrize("provider", sorted(CHECKS))
@pytest.mark.parametrize(
    ("status", "wrong"), [(401, "refused"), (403, ""), (404, ""), (429, "429"), (500, "500"), (302, "302")]
)
async def test_any_refusal_is_trouble(provider: str, status: int, wrong: str) -> None:
    finding = await found(account(provider), lambda _: httpx.Response(status, text="hidden-words"))
    assert finding.state == "trouble"
    assert wrong in finding.what
    assert finding.remedy


@pytest.mark.parametrize("provider", sorted(CHECKS))
async def test_a_provider_that_is_away_and_a_secret_that_is_missing_are_told(provider: str) -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("hidden-words")

    assert "does not answer (ConnectError)" in (await found(account(provider), away)).what
    assert "it has no secret" in (await found(account(provider, secrets={}), away)).what
    broken = account(provider, api_base="http://[hidden-words")
    assert (await found(broken, away)).state == "trouble"


@pytest.mark.parametrize("provider", sorted(CHECKS))
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "error",
                        "code",
                        "status",
                        "result",
                        "url",
                        "scopes",
                        "domain",
                        "state",
                        "id",
                        "incoming_phone_numbers",
                        "phone_number",
                        "capabilities",
                        "quality_rating",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
async def test_no_answer_breaks_a_check(provider: str, body: object) -> None:
    finding = await found(account(provider), lambda _: httpx.Response(200, json=body))
    assert finding.state in {"ok", "trouble"}


def test_every_provider_that_can_be_asked_has_a_check() -> None:
    assert set(SENDERS) - set(CHECKS) == {"mime", "webchat", "ses"}


async def test_the_simulator_answers_checks_as_its_providers_do() -> None:
    accounts = Accounts(
        [
            account(provider, api_base=f"http://127.0.0.1/dev/providers/{provider}", former={})
            for provider in ("twilio-sms", "whatsapp", "mime")
        ]
    )
    simulator = build_simulator(accounts, public_url=PUBLIC, local_url=PUBLIC)
    wrong = [
        each.model_copy(update={"secrets": {**SECRETS, "auth_token": "x", "access_token": "x"}})
        for each in accounts
    ]
    async with (
        simulator.router.lifespan_context(simulator),
        httpx.AsyncClient(transport=httpx.ASGITransport(simulator)) as client,
    ):
        good, bad = [await check(each, client, PUBLIC) for each in (accounts, wrong)]
    assert [each.state for each in good] == ["ok", "ok", "unchecked"]
    assert [each.state for each in bad] == ["trouble", "trouble", "unchecked"]
    lines = list(table(bad))
    assert [line.split()[0] for line in lines] == ["ACCOUNT", "twilio-sms/demo", "whatsapp/demo", "mime/demo"]
    assert "compare `account_sid`" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "status", "code", "shown"),
    [
        (["check"], 200, 0, "line/demo  ok     bot found"),
        (["check", "line/demo"], 401, 1, "the credentials are refused (401)"),
        (["check", "line/other"], 200, 1, "there is no account line/other; there are: line/demo"),
    ],
)
def test_the_command_prints_a_table_and_its_exit_code_tells_of_trouble(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    code: int,
    shown: str,
) -> None:
    file = tmp_path / "accounts.yaml"
    secrets = '{channel_secret: "hidden", channel_access_token: "hidden"}'
    file.write_text(
        'accounts: [{provider: "line", account: "demo", channel: "line", address: "Ubot", inbox: "s", '
        f"secrets: {secrets}}}]"
    )
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={}))
    client = httpx.AsyncClient
    monkeypatch.setattr(
        command.httpx, "AsyncClient", lambda **options: client(transport=transport, **options)
    )
    assert main(arguments, NotifierSettings(accounts_file=file)) == code
    printed = capsys.readouterr()
    assert shown in printed.out + printed.err
    assert "hidden" not in printed.out + printed.err
