"""Templates: what the accounts file may hold, and how a reply fills one."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from services.chassis.accounts import Accounts, AccountsError
from services.chassis.templates import Template, UnfitTemplate, choose

PARCEL = Template(name="parcel", language="en", text="Hello {{1}}, parcel {{2}} is late. Sorry, {{1}}.")
PAKET = Template(name="parcel", language="de", text="Hallo {{1}}, Paket {{2}} kommt später.")
THANKS = Template(name="thanks", language="en_US", text="Thank you!", category="utility")
ALL = (PARCEL, PAKET, THANKS)


def test_a_parameter_stands_wherever_its_number_does() -> None:
    assert PARCEL.parameters == 2
    assert PARCEL.fill(["Zoë", "{{1}}"]) == "Hello Zoë, parcel {{1}} is late. Sorry, Zoë."


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ([], "template.parameters"),
        (["a"], "template.parameters"),
        (["a", "b", "c"], "template.parameters"),
        (["a", " "], "template.parameters.1"),
        (["a\nb", "b"], "template.parameters.0"),
        (["a\tb", "b"], "template.parameters.0"),
        (["a     b", "b"], "template.parameters.0"),
        (["x" * 1025, "b"], "template.parameters.0"),
    ],
)
def test_what_the_provider_would_refuse_is_refused_by_name(parameters: list[str], field: str) -> None:
    with pytest.raises(UnfitTemplate) as refused:
        PARCEL.fill(parameters)
    assert refused.value.field == field


def test_the_language_may_be_left_out_where_there_is_one_only() -> None:
    assert choose(ALL, "thanks", None) is THANKS
    assert choose(ALL, "parcel", "de") is PAKET


@pytest.mark.parametrize(
    ("name", "language", "field", "known"),
    [
        ("late", None, "template.name", "parcel, thanks"),
        ("parcel", None, "template.language", "de, en"),
        ("parcel", "fr", "template.language", "de, en"),
        ("thanks", "en", "template.language", "en_US"),
    ],
)
def test_an_unknown_one_is_refused_with_those_that_are_there(
    name: str, language: str | None, field: str, known: str
) -> None:
    with pytest.raises(UnfitTemplate, match=known) as refused:
        choose(ALL, name, language)
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["{{2}}", "{{1}} {{3}}", "{{0}}", ""])
def test_a_text_counts_its_parameters_from_one_without_a_gap(text: str) -> None:
    with pytest.raises(ValidationError):
        Template(name="t", language="en", text=text)


def _file(path: Path, *templates: dict[str, str]) -> Path:
    account = {"provider": "whatsapp", "account": "demo", "channel": "whatsapp", "address": "1", "inbox": "i"}
    path.write_text(yaml.safe_dump({"accounts": [{**account, "templates": list(templates)}]}))
    return path


def test_an_account_s_templates_are_read_from_its_file(tmp_path: Path) -> None:
    written = PARCEL.model_dump(exclude_none=True)
    accounts = Accounts.load(_file(tmp_path / "accounts.yaml", written))
    account = accounts.find("whatsapp", "demo")
    assert account is not None
    assert account.template("parcel", "en") == PARCEL
    assert account.template("parcel", "de") is None


def test_one_that_is_given_twice_is_named(tmp_path: Path) -> None:
    written = PARCEL.model_dump(exclude_none=True)
    with pytest.raises(AccountsError, match=r"templates: .*parcel \(en\) is given twice"):
        Accounts.load(_file(tmp_path / "accounts.yaml", written, written))
