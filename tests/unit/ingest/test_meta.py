"""Messenger, Instagram and WhatsApp: signatures, identity of repeats, hostile shapes, large batches."""

import json
import time
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import MESSAGES_DELIVERY, MESSAGES_INBOUND
from services.chassis.accounts import Account
from services.ingest.channels import instagram, messenger, meta
from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Arrival, Item, Received, Reported, Unreadable, Webhook

Make = Callable[..., Webhook]
Circumstances = Callable[..., Arrival]
BOTH = pytest.mark.parametrize("module", [messenger, instagram])
SECRET = "meta_app_secret_0123456789abcdef"
BODY = b'{"object":"page","entry":[{"id":"1","time":1767225600000,"messaging":[]}]}'
SIGNATURE = "sha256=a53e7cd25d64cebfaf5b9012b60dd943864c6e3ffc55ac3f64d3307dd93cbbf4"
PAGE, PERSON = "100200300400", "PSID1"
ECHO = {"mid": "m_1", "is_echo": True, "app_id": 700800900100}


def account(module: ModuleType, **secrets: str) -> Account:
    return Account(
        provider=module.PROVIDER,
        account="demo",
        channel=module.PROVIDER,
        address="1",
        inbox="support",
        secrets=secrets,
    )


def signed(body: bytes, signature: str) -> Webhook:
    return Webhook("POST", "/", "", {"x-hub-signature-256": signature}, body, "https://h")


@BOTH
def test_metas_vector_for_a_page(module: ModuleType) -> None:
    ours = account(module, app_secret=SECRET)
    assert module.verify(signed(BODY, SIGNATURE), ours)
    for body, claimed in (
        (BODY + b" ", SIGNATURE),
        (BODY, ""),
        (BODY, "sha256=ÿ"),
        (BODY, SIGNATURE.upper()),
    ):
        assert not module.verify(signed(body, claimed), ours)
    assert not module.verify(signed(BODY, SIGNATURE), account(module))


@BOTH
def test_the_secret_of_an_instagram_app_is_as_good_as_the_apps(module: ModuleType) -> None:
    ours = account(module, app_secret="another", instagram_app_secret=SECRET)
    assert module.verify(signed(BODY, SIGNATURE), ours)


@BOTH
def test_the_challenge_is_answered_to_the_right_token_only(module: ModuleType) -> None:
    ours = account(module, verify_token="verify-1")
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    for token, status in (("verify-1", 200), ("verify-2", 403), ("", 403)):
        answer = module.handshake(Webhook("GET", "/", query + token, {}, b"", "https://h"), ours)
        assert (answer.status, answer.text == "1158201444") == (status, status == 200)


def event(**parts: object) -> dict[str, object]:
    return {"sender": {"id": PERSON}, "recipient": {"id": PAGE}, "timestamp": 1767225600000, **parts}


def page(*events: object, place: str = "messaging") -> bytes:
    entry = {"id": PAGE, "time": 1767225600500, place: list(events)}
    return json.dumps({"object": "page", "entry": [entry]}).encode()


def read(body: bytes, webhook: Make, arrival: Circumstances, provider: str = "messenger") -> Sequence[Item]:
    return PROVIDERS[provider].parse(webhook(body), arrival(provider))


def ids(items: Sequence[Item]) -> list[object]:
    return [item.record.id for item in items if not isinstance(item, Unreadable)]


@pytest.mark.parametrize(
    "parts",
    [
        {"message": {"mid": "m_1", "text": "hi"}},
        {"message": {"mid": "m_1", "is_deleted": True}},
        {"message_edit": {"mid": "m_1", "text": "hi!", "num_edit": 1}},
        {"postback": {"title": "Old", "payload": "OLD"}},
        {"reaction": {"mid": "m_1", "action": "react", "emoji": "❤"}},
        {"read": {"watermark": 1767225600000}},
        {"delivery": {"mids": ["m_1"], "watermark": 1767225600000}},
        {"message": ECHO, "sender": {"id": PAGE}, "recipient": {"id": PERSON}},
    ],
)
def test_a_redelivered_event_has_the_same_ids(
    parts: dict[str, object], webhook: Make, arrival: Circumstances
) -> None:
    first, again = (ids(read(page(event(**parts)), webhook, arrival)) for _ in range(2))
    assert first
    assert first == again


def test_what_happens_to_one_message_are_events_of_their_own(webhook: Make, arrival: Circumstances) -> None:
    events = [
        event(message={"mid": "m_1", "text": "hi"}),
        event(message={"mid": "m_1", "is_deleted": True}),
        event(message_edit={"mid": "m_1", "text": "a", "num_edit": 1}),
        event(message_edit={"mid": "m_1", "text": "b", "num_edit": 2}),
        event(reaction={"mid": "m_1", "action": "react", "emoji": "❤"}),
        event(reaction={"mid": "m_1", "action": "unreact"}),
        event(reaction={"mid": "m_1", "action": "react"}, timestamp=1767225600001),
        event(postback={"payload": "A"}),
        event(postback={"payload": "B"}),
        event(message=ECHO, sender={"id": PAGE}, recipient={"id": PERSON}),
        event(delivery={"mids": ["m_1"], "watermark": 1767225600000}),
        event(read={"watermark": 1767225600000}),
    ]
    found = ids(read(page(*events), webhook, arrival))
    assert len(set(found)) == len(found) == len(events) + 1


def test_a_message_that_comes_as_standby_too_is_one(webhook: Make, arrival: Circumstances) -> None:
    both = [
        ids(read(page(event(message={"mid": "m_1", "text": "hi"}), place=place), webhook, arrival))
        for place in ("messaging", "standby")
    ]
    assert both[0] == both[1]


def test_an_event_of_any_size_is_read_in_bounded_time(webhook: Make, arrival: Circumstances) -> None:
    files = [{"type": "image", "payload": {"url": f"https://x.example/{n}"}} for n in range(20_000)]
    huge = [
        event(message={"mid": "m_1", "attachments": files}),
        event(delivery={"mids": [f"m_{n}" for n in range(50_000)], "watermark": 1}),
        event(message={"mid": "m" * 100_000, "text": "x" * 1_000_000}),
    ]
    started = time.process_time()
    items = read(page(*huge), webhook, arrival)
    assert time.process_time() - started < 2
    assert isinstance(items[0], Received)
    assert len(items[0].record.personal.attachments) == 50
    assert len(items) == 1 + 1000 + 1 + 1


def test_an_echo_that_is_too_large_to_be_ours_is_a_message(webhook: Make, arrival: Circumstances) -> None:
    for size, expected in ((1000, Reported), (200_000, Received)):
        echo = {"mid": "aWdf1", "is_echo": True, "text": "x" * size}
        whole = {"sender": {"id": "178400500600"}, "recipient": {"id": PERSON}, "message": echo}
        entry = {"id": "178400500600", "messaging": [whole]}
        body = json.dumps({"object": "instagram", "entry": [entry]}).encode()
        (item,) = read(body, webhook, arrival, "instagram")
        assert isinstance(item, expected)


@pytest.mark.parametrize("provider", ["messenger", "whatsapp"])
def test_a_batch_of_a_thousand_is_read_whole_and_within_a_second(
    provider: str, webhook: Make, arrival: Circumstances
) -> None:
    started = time.process_time()
    items = read(BATCHES[provider](), webhook, arrival, provider)
    assert time.process_time() - started < 1
    assert [type(item) for item in items] == [Received, Unreadable, Reported, Received] * 250


def _messenger_batch() -> bytes:
    return page(
        *(
            each
            for n in range(250)
            for each in (
                event(message={"mid": f"m_{n}", "text": "hi"}),
                {"message": {"mid": "nobody's"}},
                event(read={"watermark": 1767225600000 + n}),
                event(reaction={"mid": f"m_{n}", "action": "react", "emoji": "❤"}),
            )
        )
    )


def _whatsapp_batch() -> bytes:
    """Each update a change of its own, as Meta aggregates them."""

    def change(n: int, what: str, item: dict[str, object]) -> dict[str, object]:
        own = {"id": f"wamid.{what}{n}", "timestamp": "1767225600", "from": "31612345678", **item}
        return {"value": {"metadata": {"phone_number_id": "900100200300"}, what: [own]}}

    changes = [
        each
        for n in range(250)
        for each in (
            change(n, "messages", {"type": "text", "text": {"body": "hi"}}),
            change(n, "messages", {"id": ""}),
            change(n, "statuses", {"status": "read", "recipient_id": "31612345678"}),
            change(n, "message_echoes", {"to": "31612345678", "type": "text", "text": {"body": "x"}}),
        )
    ]
    return json.dumps({"object": "whatsapp_business_account", "entry": [{"changes": changes}]}).encode()


BATCHES = {"messenger": _messenger_batch, "whatsapp": _whatsapp_batch}


def test_signed_events_are_read_by_the_thousand_a_second(webhook: Make, arrival: Circumstances) -> None:
    arrived = arrival("messenger")
    bodies = [page(event(message={"mid": f"m_{n}", "text": "where is my parcel?"})) for n in range(1000)]
    secret = arrived.account.secret("app_secret")
    requests = [webhook(body, x_hub_signature_256=meta.signature(body, secret)) for body in bodies]
    started = time.process_time()
    for request in requests:
        assert messenger.verify(request, arrived.account)
        assert isinstance(messenger.parse(request, arrived)[0], Received)
    assert time.process_time() - started < 1


NAMES = """
    sender recipient id timestamp message mid text attachments type payload url sticker_id title coordinates
    quick_reply reply_to story is_echo is_deleted is_unsupported app_id metadata referral postback reaction
    action emoji delivery mids watermark read message_edit num_edit optin ref
""".split()  # noqa: SIM905  (a list of names reads best as words)
WORDS = st.sampled_from(
    [
        *(
            PAGE,
            PERSON,
            "m_1",
            "image",
            "sticker",
            "fallback",
            "story_mention",
            "react",
            "\ud800",
            "\x00",
            "x y",
        ),
        *("0b0e7c5e-58c7-5b8a-9a55-0c3d4f9b7a11", "1767225600000", "700800900100", "9" * 30),
    ]
)
SHAPED = st.recursive(
    WORDS | st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=7),
    max_leaves=30,
)
KINDS = st.sampled_from(
    [
        "message",
        "postback",
        "reaction",
        "delivery",
        "read",
        "message_edit",
        "referral",
        "optin",
        "never_heard_of",
    ]
)
PEOPLE = st.sampled_from([{"id": PAGE}, {"id": PERSON}, {"id": 5}, {}, None, {"id": "\ud800"}])


@settings(max_examples=400, deadline=None)
@given(
    kind=KINDS,
    part=SHAPED | st.dictionaries(st.sampled_from(NAMES), SHAPED, max_size=8),
    sender=PEOPLE,
    recipient=PEOPLE,
    timestamp=SHAPED,
    place=st.sampled_from(["messaging", "standby"]),
    object_=st.sampled_from(["page", "instagram"]),
    free=SHAPED,
)
def test_no_event_makes_a_parser_fail_and_every_item_can_be_published(
    kind: str,
    part: object,
    sender: object,
    recipient: object,
    timestamp: object,
    place: str,
    object_: str,
    free: object,
    webhook: Make,
    arrival: Circumstances,
) -> None:
    whole = {"sender": sender, "recipient": recipient, "timestamp": timestamp, kind: part}
    ours = PAGE if object_ == "page" else "178400500600"
    entries = [{"id": ours, place: [whole, free]}, {"id": ours, place: free}, free]
    for body in ({"object": object_, "entry": entries}, {"object": free, "entry": free}):
        for item in read(json.dumps(body).encode(), webhook, arrival):
            _publishable(item)


WHATSAPP_KINDS = st.sampled_from(["messages", "message_echoes", "statuses", "user_preferences"])
WHATSAPP_NAMES = """
    from from_user_id from_parent_user_id to to_user_id id type text body context forwarded referral headline
    system wa_id edit original_message_id message interactive nfm_reply response_json order location url
    status category value timestamp errors title reaction emoji biz_opaque_callback_data
""".split()  # noqa: SIM905  (as above)
WHATSAPP_WORDS = st.sampled_from(
    [
        "31612345678",
        "NL.1",
        "US.ENT.9",
        "wamid.1",
        "text",
        "edit",
        "system",
        "user_changed_number",
        "sent",
        "\ud800",
    ]
)
WHATSAPP_SHAPED = st.recursive(
    WHATSAPP_WORDS | st.integers() | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WHATSAPP_NAMES), inner, max_size=8)
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(
    kind=WHATSAPP_KINDS,
    items=st.lists(st.dictionaries(st.sampled_from(WHATSAPP_NAMES), WHATSAPP_SHAPED, max_size=8), max_size=3),
    contacts=WHATSAPP_SHAPED,
)
def test_no_update_makes_whatsapps_parser_fail(
    kind: str, items: object, contacts: object, webhook: Make, arrival: Circumstances
) -> None:
    value = {"metadata": {"phone_number_id": "900100200300"}, "contacts": contacts, kind: items}
    body = {"object": "whatsapp_business_account", "entry": [{"changes": [{"value": value}]}]}
    for item in read(json.dumps(body).encode(), webhook, arrival, "whatsapp"):
        _publishable(item)


def _publishable(item: Item) -> None:
    if isinstance(item, Unreadable):
        assert item.reason
        return
    assert item.key.encode()
    topic = MESSAGES_INBOUND if isinstance(item, Received) else MESSAGES_DELIVERY
    assert topic.adapter.validate_json(item.record.json_bytes()).id == item.record.id
