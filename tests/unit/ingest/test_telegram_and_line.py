"""What Telegram and LINE repeat, scatter and expect as an answer."""

import json
from collections.abc import Callable

import pytest

from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Item, Received, Unreadable, Webhook
from tests import recorded

Make = Callable[..., Webhook]
Circumstances = Callable[..., Arrival]


@pytest.fixture
def read(webhook: Make, arrival: Circumstances) -> Callable[[str, object], list[Item]]:
    def made(provider: str, body: object) -> list[Item]:
        return list(PROVIDERS[provider].parse(webhook(json.dumps(body).encode()), arrival(provider)))

    return made


Read = Callable[[str, object], list[Item]]


def told(provider: str, case: str) -> dict[str, object]:
    body: dict[str, object] = json.loads((recorded.WEBHOOKS / provider / f"{case}.json").read_bytes())
    return body


def only(items: list[Item]) -> Received:
    (item,) = items
    assert isinstance(item, Received)
    return item


def test_an_album_is_as_many_messages_of_one_person(read: Read) -> None:
    first, second = (only(read("telegram", told("telegram", f"album_{n}"))) for n in ("first", "second"))
    assert first.key == second.key
    assert first.record.personal.sender == second.record.personal.sender
    assert first.record.id != second.record.id


def test_a_message_keeps_its_id_under_another_update_id_and_in_another_chat_is_another(read: Read) -> None:
    update = told("telegram", "text")
    again = update | {"update_id": 5}
    bo = {"id": 6200000002, "type": "private"}
    elsewhere = update | {"message": update["message"] | {"chat": bo, "from": bo}}  # type: ignore[operator]
    first, repeated, other = (only(read("telegram", each)) for each in (update, again, elsewhere))
    assert first.record.id == repeated.record.id != other.record.id


def test_edits_in_one_second_are_edits_of_their_own_and_a_redelivered_one_is_not(read: Read) -> None:
    edit = told("telegram", "edited")
    first, again, second = (
        only(read("telegram", each)).record.id for each in (edit, edit, edit | {"update_id": 730000099})
    )
    assert first == again != second
    assert first != only(read("telegram", told("telegram", "text"))).record.id


@pytest.mark.parametrize("sizes", [["l", "s"], ["s", "l"]])
def test_of_a_photo_the_largest_size_is_taken_in_whatever_order_they_come(
    read: Read, sizes: list[str]
) -> None:
    pixels = {"l": 960, "s": 90}
    photo = [{"file_id": name, "width": pixels[name], "height": pixels[name]} for name in sizes]
    update = told("telegram", "album_first")
    item = only(read("telegram", update | {"message": update["message"] | {"photo": photo}}))  # type: ignore[operator]
    assert [each.media_id for each in item.record.personal.attachments] == ["l"]


@pytest.mark.parametrize(
    "case", [path.stem for path in recorded.payloads() if path.parent.name == "telegram"]
)
def test_only_a_pressed_button_is_answered_by_a_method(
    case: str, webhook: Make, arrival: Circumstances
) -> None:
    update = told("telegram", case)
    query = update.get("callback_query")
    answering = PROVIDERS["telegram"].answering
    assert answering is not None
    answer = json.loads(answering(webhook(json.dumps(update).encode()), arrival("telegram")))
    if isinstance(query, dict):
        assert answer == {"method": "answerCallbackQuery", "callback_query_id": query["id"]}
    else:
        assert answer == {}


@pytest.mark.parametrize(
    "body", [b"", b"callback_query", b'{"callback_query": 5}', b'{"callback_query": {"id": {}}}']
)
def test_a_body_that_only_speaks_of_a_button_is_answered_by_nothing(
    body: bytes, webhook: Make, arrival: Circumstances
) -> None:
    answering = PROVIDERS["telegram"].answering
    assert answering is not None
    assert answering(webhook(body), arrival("telegram")) == "{}"


@pytest.mark.parametrize(
    ("provider", "case", "consents"),
    [
        ("telegram", "blocked", ["stop"]),
        ("telegram", "unblocked", ["start"]),
        ("line", "follow_and_unfollow", ["stop", "start"]),
        ("telegram", "text", [None]),
    ],
)
def test_who_blocks_us_opts_out(read: Read, provider: str, case: str, consents: list[str | None]) -> None:
    items = read(provider, told(provider, case))
    assert [item.record.data.consent for item in items if isinstance(item, Received)] == consents


def test_a_redelivered_event_of_line_has_the_same_id(read: Read) -> None:
    first, again = (only(read("line", told("line", case))) for case in ("text", "redelivered"))
    assert first.record.id == again.record.id


def test_lines_check_of_our_address_holds_nothing(read: Read) -> None:
    assert read("line", told("line", "no_events")) == []


def test_one_bad_event_costs_no_other(read: Read) -> None:
    items = read("line", told("line", "one_bad_of_three"))
    words = [None if isinstance(item, Unreadable) else item.record.personal.text for item in items]  # type: ignore[union-attr]
    assert words == ["one", None, None, None, None, "three"]
