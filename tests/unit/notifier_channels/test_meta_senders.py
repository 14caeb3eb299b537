"""What is asked of Meta's APIs, part by part, and what their error codes mean."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Attachment
from schemas.outbound import MessageSend
from services.notifier.channels import Means, Refused, Retry, Sent, Unknown
from services.notifier.channels.parts import pieces
from services.notifier.channels.registry import SENDERS
from services.notifier.channels.sending import refused
from tests.unit.notifier_channels.test_senders import OURS, account, message, outcome, says

PICTURE = {"content_type": "image/jpeg", "filename": "lamp.jpg", "media_id": "a"}
PAPER = {"content_type": "application/pdf", "filename": "invoice.pdf", "media_id": "b"}
VOICE = {"content_type": "audio/ogg; codecs=opus", "media_id": "c"}
WINDOW = {"error": {"code": 10, "error_subcode": 2018278}}
IDS = {"messenger": "message_id", "instagram": "message_id", "whatsapp": "messages"}


class Links:
    """Files under an address of ours; `missing` has none."""

    async def read(self, _attachment: Attachment, /) -> bytes:
        raise AssertionError

    def link(self, attachment: Attachment, /) -> str:
        if attachment.media_id == "missing":
            raise refused("no file", "rejected")
        return f"https://parley.example/files/{attachment.media_id}"


class Meta:
    """Answers each request in turn, and accepts when nothing else is ordered."""

    def __init__(self, provider: str, *answers: httpx.Response | Exception) -> None:
        self.provider = provider
        self.requests: list[httpx.Request] = []
        self.taken: list[str] = []
        self.answers: Iterator[httpx.Response | Exception] = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self.answers, None)
        if isinstance(answer, Exception):
            raise answer
        number = f"P{len(self.requests)}"
        taken = {"messages": [{"id": number}]} if self.provider == "whatsapp" else {"message_id": number}
        return answer or httpx.Response(200, json=taken)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    async def take(
        self,
        *,
        agent: str | None = "ana",
        automatic: bool = False,
        human_agent: bool = False,
        **personal: object,
    ) -> Sent:
        what = message(self.provider, automatic=automatic, **personal)
        what = what.model_copy(
            update={"data": what.data.model_copy(update={"agent": agent, "human_agent": human_agent})}
        )
        return await self.take_whole(what)

    async def _told(self, provider_message_id: str, _part: str, /) -> None:
        self.taken.append(provider_message_id)

    async def take_whole(self, what: MessageSend) -> Sent:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            means = Means(client, files=Links(), took=self._told)
            return await SENDERS[self.provider].send(means, account(self.provider), what)


def error(code: int, subcode: int | None = None, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "error_subcode": subcode, "message": "x"}})


async def test_messenger_is_asked_as_the_page_with_our_id_as_metadata() -> None:
    meta = Meta("messenger")
    assert await meta.take() == Sent("P1")
    (request,) = meta.requests
    assert request.url == "https://api.example.com/v23.0/100200300400/messages"
    assert request.headers["authorization"] == "Bearer access-1"
    assert meta.asked == [
        {
            "recipient": {"id": "PSID1"},
            "messaging_type": "RESPONSE",
            "message": {"text": "hello", "metadata": str(OURS)},
        }
    ]


async def test_instagram_is_asked_by_its_token_and_without_metadata() -> None:
    meta = Meta("instagram")
    assert await meta.take() == Sent("P1")
    assert meta.requests[0].url == "https://api.example.com/v23.0/me/messages"
    assert meta.asked[0]["message"] == {"text": "hello"}


async def test_text_and_files_go_one_by_one_and_the_last_carries_our_id() -> None:
    meta = Meta("messenger")
    assert await meta.take(attachments=(PICTURE, PAPER, VOICE)) == Sent("P4")
    assert meta.taken == ["P1", "P2", "P3"]
    parts = [asked["message"] for asked in meta.asked]
    assert [part.get("metadata") for part in parts] == [f"{OURS}/1", f"{OURS}/2", f"{OURS}/3", str(OURS)]
    assert [part["attachment"]["type"] for part in parts[1:]] == ["image", "file", "audio"]
    assert parts[1]["attachment"]["payload"] == {
        "url": "https://parley.example/files/a",
        "is_reusable": False,
    }


@pytest.mark.parametrize(
    ("provider", "limit"), [("messenger", 2000), ("instagram", 1000), ("whatsapp", 4096)]
)
async def test_a_text_at_the_limit_is_one_message_and_a_longer_one_more(provider: str, limit: int) -> None:
    for length, expected in ((limit, 1), (limit + 1, 2)):
        meta = Meta(provider)
        await meta.take(text="x" * length)
        assert len(meta.requests) == expected


async def test_instagrams_limit_is_in_bytes() -> None:
    meta = Meta("instagram")
    await meta.take(text="é" * 501)
    assert len(meta.requests) == 2


@pytest.mark.parametrize("provider", ["messenger", "whatsapp"])
async def test_what_would_take_too_many_requests_or_says_nothing_asks_nobody(provider: str) -> None:
    for text in ("x" * 200_000, " \n "):
        meta = Meta(provider)
        with pytest.raises(Refused, match="rejected"):
            await meta.take(text=text)
        assert meta.requests == []


@pytest.mark.parametrize("provider", ["messenger", "instagram"])
async def test_a_file_that_is_not_there_stops_all_before_the_first_request(provider: str) -> None:
    meta = Meta(provider)
    with pytest.raises(Refused):
        await meta.take(attachments=(VOICE, {"media_id": "missing"}))
    assert meta.requests == []


@pytest.mark.parametrize(
    ("failure", "expected", "detail"),
    [
        (error(613), Refused, "1 of 2 parts were sent; the provider did not take the next"),
        (httpx.ConnectError("x"), Refused, "1 of 2 parts were sent; the provider did not take the next"),
        (error(100), Refused, "1 of 2 parts were sent; of the next: the provider rejected the message"),
        (httpx.ReadTimeout("x"), Unknown, "1 of 2 parts were sent; of the next: no answer: ReadTimeout"),
    ],
)
async def test_once_a_part_was_taken_nothing_is_tried_again(
    failure: httpx.Response | Exception, expected: type[Refused | Unknown], detail: str
) -> None:
    taken = httpx.Response(200, json={"message_id": "P1"})
    with pytest.raises(expected) as stopped:
        await Meta("messenger", taken, failure).take(attachments=(PICTURE,))
    assert stopped.value.detail == detail


async def test_a_first_part_that_was_not_taken_is_tried_again_later() -> None:
    with pytest.raises(Retry):
        await Meta("messenger", error(613)).take(attachments=(PICTURE,))


@pytest.mark.parametrize("provider", ["messenger", "instagram"])
async def test_after_a_day_a_person_here_may_still_answer(provider: str) -> None:
    meta = Meta(provider, error(10, 2018278))
    assert await meta.take(attachments=(PICTURE,)) == Sent("P3")
    tags = [(asked["messaging_type"], asked.get("tag")) for asked in meta.asked]
    tagged = ("MESSAGE_TAG", "HUMAN_AGENT")
    assert tags == [("RESPONSE", None), tagged, tagged]


async def test_what_is_known_to_be_late_is_tagged_at_once() -> None:
    meta = Meta("messenger")
    await meta.take(human_agent=True)
    assert [(asked["messaging_type"], asked.get("tag")) for asked in meta.asked] == [
        ("MESSAGE_TAG", "HUMAN_AGENT")
    ]


@pytest.mark.parametrize(
    ("agent", "automatic", "again"), [("ana", False, 1), (None, False, 0), ("ana", True, 0)]
)
async def test_only_a_persons_answer_is_tagged_and_a_refused_tag_means_outside_the_window(
    agent: str | None,
    automatic: bool,  # noqa: FBT001  (a test's parameter)
    again: int,
) -> None:
    meta = Meta("messenger", error(10, 2018278), error(200))
    with pytest.raises(Refused) as stopped:
        await meta.take(agent=agent, automatic=automatic)
    assert (stopped.value.kind, stopped.value.code) == ("outside_window", "10/2018278")
    assert len(meta.requests) == 1 + again


async def test_a_tagged_answer_may_have_to_wait() -> None:
    with pytest.raises(Retry):
        await Meta("messenger", error(10, 2018278), error(613)).take()


@pytest.mark.parametrize("provider", ["messenger", "instagram"])
async def test_another_channels_address_is_no_recipient(provider: str) -> None:
    meta = Meta(provider)
    with pytest.raises(Refused, match="invalid_recipient"):
        await meta.take(to={"kind": "phone", "value": "+15551230001"})
    assert meta.requests == []


@pytest.mark.parametrize(
    ("status", "code", "subcode", "expected"),
    [
        (400, 10, 2018278, "outside_window"),
        (400, 10, 2534022, "outside_window"),
        (403, 10, 2018065, "outside_window"),
        (400, 10, 2018108, "invalid_recipient"),
        (400, 551, 1545041, "invalid_recipient"),
        (400, 551, None, "invalid_recipient"),
        (400, 200, 1545041, "invalid_recipient"),
        (400, 100, 2018001, "invalid_recipient"),
        (400, 100, None, "rejected"),
        (400, 100, 2018007, "rejected"),
        (400, 10, None, "account_broken"),
        (401, 190, 463, "account_broken"),
        (403, 200, None, "account_broken"),
        (403, 299, None, "account_broken"),
        (400, 368, None, "account_broken"),
        (400, 4, None, "retry"),
        (400, 17, None, "retry"),
        (400, 32, None, "retry"),
        (400, 613, None, "retry"),
        (400, 80006, None, "retry"),
        (400, 80002, None, "retry"),
        (429, 999, None, "retry"),
        (500, 2, None, "retry"),
        (500, 1200, None, "retry"),
        (500, 999999, None, "unknown"),
        (400, 999999, None, "rejected"),
    ],
)
@pytest.mark.parametrize("provider", ["messenger", "instagram"])
async def test_the_send_apis_codes(
    provider: str, status: int, code: int, subcode: int | None, expected: str
) -> None:
    body = {"error": {"code": code, "error_subcode": subcode, "message": "to PSID1"}}
    assert await outcome(provider, says(status, body)) == expected


@pytest.mark.parametrize(("code", "whole"), [(613, True), (80006, True), (2, False)])
async def test_a_limit_of_the_page_rests_the_page(code: int, whole: bool) -> None:  # noqa: FBT001  (a test's parameter)
    with pytest.raises(Retry) as stopped:
        await Meta("messenger", error(code)).take()
    assert stopped.value.whole_account is whole


@pytest.mark.parametrize(
    "body", [{"error": {"code": "190"}}, {"error": []}, {"error": {"code": True}}, [], "x"]
)
async def test_an_error_in_another_form_is_told_by_its_status(body: object) -> None:
    assert await outcome("messenger", says(400, body)) == "rejected"


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \n😀é"), max_size=300),
    most=st.integers(8, 60),
    encoding=st.sampled_from(["utf-8", "utf-16-le"]),
)
def test_pieces_keep_every_word_within_the_limit(text: str, most: int, encoding: str) -> None:
    found = pieces(text, most, encoding)
    assert all(0 < len(piece.encode(encoding)) <= most and piece == piece.strip() for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_a_text_is_cut_between_lines_rather_than_words_and_between_words_rather_than_letters() -> None:
    assert pieces("one two six\nthree four", 16, "utf-8") == ["one two six", "three four"]
    assert pieces("one two three four", 9, "utf-8") == ["one two", "three", "four"]
    assert pieces("abcdefgh", 4, "utf-8") == ["abcd", "efgh"]
