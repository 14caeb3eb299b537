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
    with pytest.raises(AccountsError, match=told) as error:
        Accounts.load(file)
    assert str(file) in str(error.value)
    assert "hidden" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match=r"nothing.yaml: cannot be read"):
        Accounts.load(tmp_path / "nothing.yaml")
