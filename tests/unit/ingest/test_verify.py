"""Signatures: published and own vectors, the known wrong ways, and hostile headers.

Vectors: twilio-python's tests and Twilio's documentation, Meta's scheme recomputed with OpenSSL.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.accounts import Account
from services.ingest.channels import mime, twilio_sms, whatsapp
from services.ingest.channels.registry import PROVIDERS
from services.ingest.webhook import Webhook
from tests import recorded

PROOFS = {"x-twilio-signature", "x-hub-signature-256", "authorization"} | {
    name for _, made in recorded.signatures() for name in made["headers"]
}
SECRETS = {"auth_token", "app_secret", "token"} | {
    name for account in recorded.accounts().values() for name in account.secrets
}
RAW = Path(__file__).parents[2] / "fixtures" / "webhooks" / "whatsapp" / "signature_vector.raw"
FORM = (
    b"ToCountry=US&MessageSid=SM0123456789abcdef0123456789abcdef&NumMedia=0&ToCity=&FromZip=&Body=+Caf%C3%A9+"
    b"%F0%9F%98%80+&From=%2B31612345678&To=%2B15550001111&AccountSid=AC0123456789abcdef0123456789abcdef"
    b"&ApiVersion=2010-04-01"
)
TOKEN = "twilio_auth_token_0123456789abcdef"
SIGNATURE = "km9lRBRijNgD9yBRDkILTYocQOk="


def twilio(token: str = TOKEN) -> Account:
    return Account(
        provider="twilio-sms",
        account="demo",
        channel="sms",
        address="+15550001111",
        inbox="support",
        secrets={"auth_token": token},
    )


META_SECRET = "meta_app_secret_0123456789abcdef"


def meta(secret: str = META_SECRET) -> Account:
    return Account(
        provider="whatsapp",
        account="demo",
        channel="whatsapp",
        address="1",
        inbox="support",
        secrets={"app_secret": secret, "verify_token": "verify-1"},
    )


def request(body: bytes, signature: str, **changes: str) -> Webhook:
    parts = {
        "method": "POST",
        "path": "/v1/ingest/twilio/sms",
        "query": "tenant=acme",
        "public_url": "https://hooks.example.com",
        **changes,
    }
    headers = {"x-twilio-signature": signature, "host": "evil.example"}
    return Webhook(
        parts["method"], parts["path"], parts["query"], headers, body, public_url=parts["public_url"]
    )


def test_a_form_is_verified_over_all_its_parameters_blank_ones_and_spaces_included() -> None:
    assert twilio_sms.verify(request(FORM, SIGNATURE), twilio())


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("K9if+TAScHasWXddkB8Ja8sEMVY=", id="blank parameters dropped"),
        pytest.param("fp8b/WQpGt1ya1AzPy4d+GUxf8U=", id="values trimmed"),
        pytest.param("XatHunPGmmKGp5ewNj9Q6r772Qg=", id="http behind a TLS proxy"),
        pytest.param("bCEFnei6cBzd3FFgpOqo3Kvq8K8=", id="query lost"),
        pytest.param("", id="unsigned"),
        pytest.param("ünïcödé", id="not ASCII"),
        pytest.param("\ud800", id="not even text"),
    ],
)
def test_a_signature_made_in_a_wrong_way_is_refused(wrong: str) -> None:
    assert not twilio_sms.verify(request(FORM, wrong), twilio())


@pytest.mark.parametrize(
    ("path", "query", "token", "changed"),
    [
        ("/v1/ingest/twilio/sms", "tenant=acme", "another", FORM),
        ("/v1/ingest/twilio/smt", "tenant=acme", TOKEN, FORM),
        ("/v1/ingest/twilio/sms", "tenant=acmf", TOKEN, FORM),
        ("/v1/ingest/twilio/sms", "tenant=acme", TOKEN, FORM + b"&New="),
        ("/v1/ingest/twilio/sms", "tenant=acme", TOKEN, FORM.replace(b"NumMedia=0", b"NumMedia=1")),
    ],
)
def test_any_change_to_what_was_signed_is_noticed(path: str, query: str, token: str, changed: bytes) -> None:
    assert not twilio_sms.verify(request(changed, SIGNATURE, path=path, query=query), twilio(token))


def test_an_account_without_a_secret_accepts_nothing() -> None:
    url = "https://hooks.example.com/v1/ingest/twilio/sms?tenant=acme"
    assert not twilio_sms.verify(request(b"", twilio_sms.signature(url, "")), twilio(""))
    assert not whatsapp.verify(
        Webhook("POST", "/", "", {"x-hub-signature-256": whatsapp.signature(b"x", "")}, b"x", "https://h"),
        meta(""),
    )


def test_twilios_published_form_vector() -> None:
    body = (
        b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    )
    webhook = request(
        body,
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        path="/myapp.php",
        query="foo=1&bar=2",
        public_url="https://mycompany.com",
    )
    assert twilio_sms.verify(webhook, twilio("12345"))


@pytest.mark.parametrize(
    ("public_url", "signature"),
    [
        ("https://mycompany.com", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("https://mycompany.com:443", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("http://mycompany.com:80/", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("https://mycompany.com:443", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ],
)
def test_twilio_may_sign_the_default_port_or_leave_it_out(public_url: str, signature: str) -> None:
    body = (
        b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    )
    webhook = request(body, signature, path="/myapp.php", query="foo=1&bar=2", public_url=public_url)
    assert twilio_sms.verify(webhook, twilio("12345"))


def test_repeated_parameters_are_signed_once_a_value() -> None:
    body = b"Digits=5678&Digits=1234&Digits=1234&Sid=CA123&SidAccount=AC123"
    webhook = request(
        body,
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        path="/myapp.php",
        query="foo=1&bar=2",
        public_url="https://mycompany.com",
    )
    assert twilio_sms.verify(webhook, twilio("12345"))


def test_a_json_body_is_verified_by_its_hash_in_the_signed_url() -> None:
    body = '{"MessageSid":"SM1","Body":"café"}'.encode()
    query = f"tenant=acme&bodySHA256={hashlib.sha256(body).hexdigest()}"
    signed = request(body, "6HZWl124pyYa4OQ9hbhVOtvBvtM=", query=query)
    assert twilio_sms.verify(signed, twilio())
    forged = request(body + b" ", "6HZWl124pyYa4OQ9hbhVOtvBvtM=", query=query)
    assert not twilio_sms.verify(forged, twilio())


def test_a_get_is_verified_over_its_url_alone() -> None:
    query = "MessageSid=SM1&Body=&From=%2B15551230001"
    url = f"https://hooks.example.com/v1/ingest/twilio/sms?{query}"
    signed = request(b"", twilio_sms.signature(url, TOKEN), method="GET", query=query)
    assert twilio_sms.verify(signed, twilio())


def test_metas_vector_over_the_bytes_as_received() -> None:
    headers = {
        "x-hub-signature-256": "sha256=3134cfc80279341358fcf29b954828284d43d1480f3df90a815a9ffa749b9aa9"
    }
    body = RAW.read_bytes()
    assert whatsapp.verify(Webhook("POST", "/", "", headers, body, "https://h"), meta())
    assert not whatsapp.verify(Webhook("POST", "/", "", headers, body + b" ", "https://h"), meta())


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "sha256=",
        "sha256=aa77724ecead804d0c6e5c09a4aacd2280269636aaf2e1aec7ccbfc7d030897f",
        "sha256=ea6ff0638580c1079c4715e43b346b5f87b34220cf9bd0991716b0a215f2bcae",
        "sha256=ada067158c17db2895e34e99efadd1c85e7f94b8a9ed0b4b7e20d05a041d2f29",
        "sha1=7c4416e47156beb1b56d214d0758dfd4c3405336",
        "3134cfc80279341358fcf29b954828284d43d1480f3df90a815a9ffa749b9aa9",
        "sha256=ÿ",
    ],
)
def test_metas_signature_in_any_other_form_is_refused(wrong: str) -> None:
    headers = {"x-hub-signature-256": wrong}
    assert not whatsapp.verify(Webhook("POST", "/", "", headers, RAW.read_bytes(), "https://h"), meta())


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-1", 200, "1158201444"),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=verify-2", 403, None),
        ("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=verify-1", 403, None),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=%C3%BC", 403, None),
        ("", 403, None),
    ],
)
def test_metas_handshake_answers_the_challenge_to_the_right_token_only(
    query: str, status: int, text: str | None
) -> None:
    answer = whatsapp.handshake(Webhook("GET", "/", query, {}, b"", "https://h"), meta())
    assert answer.status == status
    assert text is None or answer.text == text


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("Bearer relay-token", True),
        ("bearer  relay-token ", True),
        ("Bearer relay-toke", False),
        ("Basic relay-token", False),
        ("relay-token", False),
        ("Bearer ÿ", False),
        ("", False),
    ],
)
def test_a_relay_proves_itself_by_its_token(header: str, accepted: bool) -> None:  # noqa: FBT001  (a test's parameter)
    account = Account(
        provider="mime",
        account="demo",
        channel="email",
        address="a@b.example",
        inbox="support",
        secrets={"token": "relay-token"},
    )
    assert (
        mime.verify(Webhook("POST", "/", "", {"authorization": header}, b"", "https://h"), account)
        is accepted
    )


@pytest.mark.parametrize(
    ("provider", "made"),
    recorded.signatures(),
    ids=lambda value: value if isinstance(value, str) else value["case"],
)
def test_a_recorded_request_is_taken_for_the_providers_or_not(provider: str, made: dict[str, Any]) -> None:
    account = recorded.accounts()[provider]
    account = account.model_copy(update={"secrets": made.get("secrets", account.secrets)})
    body, query = made["body"].encode(), made.get("query", "")
    webhook = Webhook("POST", f"/ingest/v1/{provider}/demo", query, made["headers"], body, "https://h")
    assert PROVIDERS[provider].verify(webhook, account) is made["taken"]


@pytest.mark.parametrize("provider", recorded.accounts())
def test_recorded_signatures_show_a_request_that_is_taken(provider: str) -> None:
    assert any(made["taken"] for name, made in recorded.signatures() if name == provider)


@settings(max_examples=150, deadline=None)
@given(
    body=st.binary(max_size=300),
    query=st.text(alphabet=st.characters(max_codepoint=255), max_size=60)
    | st.just("bodySHA256=&bodySHA256=x"),
    path=st.text(alphabet=st.characters(max_codepoint=255), max_size=40),
    signature=st.text(max_size=40),
    method=st.sampled_from(["GET", "POST"]),
    provider=st.sampled_from(sorted(PROVIDERS)),
)
def test_no_request_at_all_is_taken_without_the_secret_or_makes_verify_fail(
    body: bytes, query: str, path: str, signature: str, method: str, provider: str
) -> None:
    headers = dict.fromkeys(PROOFS, signature)
    account = Account(
        provider=provider,
        account="demo",
        channel="sms",
        address="+15550001111",
        inbox="support",
        secrets=dict.fromkeys(SECRETS, "a secret that was never told"),
    )
    webhook = Webhook(method, path, query, headers, body, "https://hooks.example.com")
    assert PROVIDERS[provider].verify(webhook, account) is False


def test_the_callers_host_header_plays_no_part(webhook: Callable[..., Webhook]) -> None:
    assert (
        webhook(path="/a%2Fb", query="x=1", host="evil.example").url == "https://hooks.example.com/a%2Fb?x=1"
    )
