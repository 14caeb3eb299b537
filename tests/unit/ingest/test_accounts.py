"""The accounts file: what it gives, and how it says what is wrong with it."""

from pathlib import Path

import pytest

from schemas.common import Channel
from services.chassis.accounts import Accounts, AccountsError
from services.ingest.channels.registry import PROVIDERS

LOCAL = Path(__file__).parents[3] / "deploy" / "local" / "accounts.yaml"
ENTRY = """
  - provider: "twilio-sms"
    account: "demo"
    channel: "sms"
    address: "+1 555 000 1111"
    inbox: "support"
    secrets: {auth_token: "hidden"}
"""


def write(path: Path, text: str) -> Path:
    file = path / "accounts.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_local_file_has_a_demo_account_of_every_provider() -> None:
    accounts = Accounts.load(LOCAL)
    for provider in (*PROVIDERS, "webchat"):
        account = accounts.find(provider, "demo")
        assert account is not None
        assert account.inbox == "support"
        assert all(account.secrets.values())


def test_addresses_are_found_in_their_normal_form(tmp_path: Path) -> None:
    accounts = Accounts.load(write(tmp_path, "accounts:" + ENTRY))
    account = accounts.by_address("twilio-sms", "+15550001111")
    assert account is not None
    assert account.secret("auth_token") == "hidden"
    assert accounts.is_ours(Channel.SMS, "+15550001111")
    assert "hidden" not in repr(account)
    with pytest.raises(AccountsError, match="twilio-sms/demo has no secret 'account_sid'"):
        account.secret("account_sid")


def test_the_local_stack_can_stand_in_for_all_providers(tmp_path: Path) -> None:
    accounts = Accounts.load(write(tmp_path, "accounts:" + ENTRY), "http://127.0.0.1:8080/dev/providers/")
    assert [each.api_base for each in accounts] == ["http://127.0.0.1:8080/dev/providers/twilio-sms"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "accounts:" + ENTRY.replace('"+1 555 000 1111"', "15550001111"),
            r"entry 1 \(twilio-sms/demo\): address: must be a quoted",
        ),
        ("accounts:" + ENTRY.replace('"hidden"', "12345"), "secrets.auth_token: must be a quoted string"),
        ("accounts:" + ENTRY.replace('"hidden"', "{env: PARLEY_NO_SUCH}"), "PARLEY_NO_SUCH is not set"),
        ("accounts:" + ENTRY.replace('"hidden"', "{file: nothing.txt}"), "nothing.txt: cannot be read"),
        ("accounts:" + ENTRY.replace('"hidden"', "{file: empty.txt}"), "empty.txt: is empty"),
        ("accounts:" + ENTRY.replace('"hidden"', "{file: binary.txt}"), "binary.txt: not UTF-8"),
        (
            "accounts:" + ENTRY.replace('"hidden"', "{env: hidden, file: hidden}"),
            "auth_token: must be a quoted",
        ),
        ("accounts:" + ENTRY.replace('"hidden"', '{env: "not hidden"}'), "auth_token: must be a quoted"),
        ("accounts:" + ENTRY.replace('"hidden"', "{vault: hidden}"), "auth_token: must be a quoted string"),
        ("accounts:" + ENTRY.replace('"hidden"', "[]"), "auth_token: must be a quoted string"),
        ("accounts:" + ENTRY.replace('"hidden"', '["hidden", ""]'), r"auth_token\.1: is empty"),
        ("accounts:" + ENTRY.replace('"hidden"', '["hidden", 5]'), r"auth_token\.1: must be a quoted"),
        ("accounts:" + ENTRY.replace('"hidden"', '["hidden", "b", "c", "d"]'), "a list of 1 to 3"),
        ("accounts:" + ENTRY + '    former: {auth_token: ["hidden"]}', "former: values that are valid too"),
        ("accounts:" + ENTRY + "    burst: 0", "burst: Input should be greater"),
        ("accounts:" + ENTRY + "    rate_per_second: .inf", "rate_per_second: Input should be a finite"),
        ("accounts:" + ENTRY.replace('"sms"', '"pigeon"'), "channel: Input should be"),
        ("accounts:" + ENTRY.replace("inbox:", "in_box:"), "inbox: Field required"),
        ("accounts:" + ENTRY.replace("+1 555 000 1111", "nowhere"), "address: not a possible phone number"),
        ("accounts:" + ENTRY + ENTRY, "two accounts of provider twilio-sms have the name 'demo'"),
        ("accounts:" + ENTRY + ENTRY.replace('"demo"', '"two"'), "have the address"),
        ("accounts: 5", "needs a list `accounts:`"),
        ("- 1", "needs a list `accounts:`"),
        ("accounts: [1]", "entry 1: the entry"),
        ('a: "', r"not YAML \(line 1\)"),
    ],
)
def test_a_mistake_is_told_with_file_entry_and_field(tmp_path: Path, text: str, told: str) -> None:
    file = write(tmp_path, text)
    (tmp_path / "empty.txt").write_bytes(b"\n")
    (tmp_path / "binary.txt").write_bytes(b"hidden\xff")
    with pytest.raises(AccountsError, match=told) as error:
        Accounts.load(file)
    assert str(file) in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match=r"nothing.yaml: cannot be read"):
        Accounts.load(tmp_path / "nothing.yaml")


def test_a_secret_is_found_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_TOKEN", "of the environment")
    (tmp_path / "token.txt").write_bytes(b"of a file \n")
    (tmp_path / "windows.txt").write_bytes(b"of a file\r\n")
    given = f'["literal", {{env: PARLEY_TOKEN}}, {{file: "{tmp_path / "token.txt"}"}}]'
    secrets = f"{given}, app_secret: {{file: windows.txt}}, username: {{env: PARLEY_TOKEN}}, key: "
    accounts = Accounts.load(write(tmp_path, "accounts:" + ENTRY.replace('"hidden"', secrets + '""')))
    (account,) = accounts
    assert account.valid("auth_token") == ("literal", "of the environment", "of a file ")
    assert account.secret("auth_token") == "literal"
    assert account.secret("app_secret") == "of a file"
    assert account.valid("username") == ("of the environment",)
    assert account.valid("key") == account.valid("nothing") == ()
    assert "literal" not in repr(account)
    assert "of a file" not in repr(account)
    same = account.model_copy(update={"secrets": {"auth_token": "of a file "}, "former": {}})
    assert account.shares("auth_token", same)
    assert not same.shares("app_secret", account)
