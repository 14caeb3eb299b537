"""What conversation reads of the accounts file: no secrets, and always the newest that can be used."""

from pathlib import Path

import pytest

from services.chassis.accounts import AccountsError
from services.conversation.wording import Wordings

ACCOUNT = """
accounts:
  - provider: "whatsapp"
    account: "demo"
    secrets: {access_token: {env: "NOT_SET_HERE"}}
    help_text: "Call us."
    templates: [{name: "update", language: "en", text: "TEXT"}]
"""


def test_secrets_are_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(ACCOUNT)
    wordings = Wordings(file)
    assert [each.text for each in wordings.of("whatsapp", "demo").templates] == ["TEXT"]
    assert wordings.help_text("whatsapp", "demo") == "Call us."
    assert wordings.of("whatsapp", "other").templates == ()
    assert wordings.help_text("whatsapp", "other") is None


async def test_a_changed_file_is_taken_over_unless_it_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(ACCOUNT)
    wordings = Wordings(file)
    for text, expected in (
        (ACCOUNT.replace("TEXT", "Hello {{1}}"), "Hello {{1}}"),
        (ACCOUNT.replace("TEXT", "Hello {{2}}"), "Hello {{1}}"),
        ("accounts: [", "Hello {{1}}"),
        (ACCOUNT, "TEXT"),
    ):
        file.write_text(text)
        await wordings.look()
        assert wordings.of("whatsapp", "demo").templates[0].text == expected
    file.unlink()
    await wordings.look()
    assert wordings.of("whatsapp", "demo").templates[0].text == "TEXT"


@pytest.mark.parametrize("text", ["", "accounts: 7", "\x00", "accounts: [7]", "[" * 5000])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(text)
    with pytest.raises(AccountsError, match=r"accounts\.yaml"):
        Wordings(file)
