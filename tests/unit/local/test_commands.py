"""What the commands print, and what they say when something is missing."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from typer import Typer
from typer.testing import CliRunner

from deploy.local import operate, send, token, up
from deploy.local.keys import StackKeys
from deploy.local.stack import Stack, StackError
from deploy.local.visitors import Visitors
from deploy.local.webhooks import Webhook

AGENTS = """
agents:
  - {id: ana, name: Ana, roles: [agent], profile: {inboxes: [support]}}
  - {id: lea, name: Lea, roles: [lead]}
"""


@pytest.fixture(autouse=True)
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "PUBLIC_URL",
        "ACCOUNTS_FILE",
        "JWT_ISSUER",
        "JWT_AUDIENCE",
        "CHANNEL",
        "FROM",
        "TEXT",
        "PORT",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "agents.yaml").write_text(AGENTS)
    monkeypatch.setenv("AGENTS_FILE", str(tmp_path / "agents.yaml"))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(command: object, *arguments: str) -> tuple[int, str, str]:
    app = Typer()
    app.command()(command)  # type: ignore[type-var]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_a_token_is_printed_alone_and_holds_roles_for_12_hours(local: Path) -> None:
    keys = StackKeys.load_or_make(local)
    code, out, err = run(token.main, "lea")
    assert (code, err) == (0, "")
    claims = jwt.decode(out.strip(), KeySet.import_key_set(keys.jwks()), algorithms=["ES256"]).claims
    assert (claims["sub"], claims["roles"], claims["iss"], claims["aud"]) == (
        "lea",
        ["lead"],
        "parley",
        "parley",
    )
    assert claims["exp"] - claims["iat"] == timedelta(hours=12).total_seconds()
    assert len(out.splitlines()) == 1


def test_a_token_needs_a_stack_that_ran(local: Path) -> None:
    code, out, err = run(token.main, "ana")
    assert (code, out) == (1, "")
    assert err.strip() == f"no stack has run on the data directory {local} yet; start one with: make up"


def test_a_token_needs_somebody_we_know() -> None:
    code, out, err = run(token.main, "nobody")
    assert (code, out) == (1, "")
    assert "no agent 'nobody'" in err
    assert "there are: ana, lea" in err


def test_keys_stay_the_same_and_private(local: Path) -> None:
    made = StackKeys.load_or_make(local)
    again = StackKeys.load_or_make(local)
    assert again.jwks() == made.jwks()
    assert again.visitor_token_secret == made.visitor_token_secret
    assert (local / "keys.json").stat().st_mode & 0o077 == 0
    assert "d" not in json.loads((local / "jwks.json").read_text())["keys"][0]


@pytest.mark.parametrize("port", ["http", "70000", "-1"])
def test_a_port_that_is_none_is_named(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", port)
    with pytest.raises(StackError, match=port):
        Stack.from_environment()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_up_names_a_busy_port_before_it_starts_anything(
    taken: int, local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", str(taken))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert up.main() == 1
    assert f"port {taken} on 127.0.0.1 is in use" in capsys.readouterr().err
    assert not local.exists()


def test_send_says_when_no_stack_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    code, out, err = run(send.main, "--channel", "sms")
    assert code == 1
    assert out.startswith("curl ")
    assert "no stack answers at http://127.0.0.1:1" in err


@pytest.mark.parametrize("channel", [*send.CHANNELS, "twilio-sms", "mime", "voice", "twilio-voice"])
def test_send_takes_a_channel_or_a_provider(channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[str] = []

    def post(_: Stack, webhook: Webhook) -> httpx.Response:
        posted.append(webhook.path)
        session = {"token": "t", "expires_at": "2999-01-01T00:00:00.000Z"}
        return httpx.Response(200, json=session, request=httpx.Request("POST", "http://stack.example"))

    monkeypatch.setattr(send, "post", post)
    code, out, _ = run(send.main, "--channel", channel)
    assert code == 0
    assert out.startswith("curl ")
    assert posted[-1].startswith("/ingest/v1/")


@pytest.mark.parametrize(
    ("channel", "sender", "says"),
    [
        ("pigeon", "", "nothing stands in for 'pigeon'; there are: sms, twilio-sms,"),
        ("telegram", "ann", "'ann' is no address on telegram; one is: 6200000001"),
    ],
)
def test_send_names_what_it_cannot_send(channel: str, sender: str, says: str) -> None:
    code, _, err = run(send.main, "--channel", channel, "--from", sender)
    assert code == 1
    assert says in err


def test_other_commands_know_the_public_url_of_the_stack(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.mkdir()
    monkeypatch.setenv("PUBLIC_URL", "https://parley.example/")
    Stack.from_environment().at(8080).remember()
    monkeypatch.delenv("PUBLIC_URL")
    assert Stack.from_environment().public_url == "https://parley.example"
    monkeypatch.setenv("PORT", "8081")
    assert Stack.from_environment().public_url == "http://127.0.0.1:8081"


def test_a_visitor_keeps_the_session_until_it_expires(local: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    opened: list[str] = []

    def open_session(name: str) -> dict[str, str]:
        opened.append(name)
        return {"token": f"token-{len(opened)}", "expires_at": "2026-01-02T00:00:00.000Z"}

    assert Visitors(local, lambda: now).token("ann", open_session) == "token-1"
    assert Visitors(local, lambda: now).token("ann", open_session) == "token-1"
    assert Visitors(local, lambda: now).token("bob", open_session) == "token-2"
    assert Visitors(local, lambda: now + timedelta(days=1)).token("ann", open_session) == "token-3"


def test_an_operators_command_finds_the_servers_of_the_last_stack_unless_others_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "MONGO_URL": "mongodb://127.0.0.1:2"}
    for name in servers:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert operate.environment() == {}
    keys = StackKeys.load_or_make(tmp_path)
    Stack.from_environment().at(8080).remember(servers)
    secret = keys.secret_for("customer keys")
    assert operate.environment() == {"CUSTOMER_KEYS_SECRET": secret, **servers}
    monkeypatch.setenv("MONGO_URL", "mongodb://elsewhere")
    assert operate.environment() == {}
