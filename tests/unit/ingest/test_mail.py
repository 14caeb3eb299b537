"""Mail: quotes, HTML, charsets and who wrote it, in the habits of real mail programs."""

import pytest

from services.ingest.mail import automatic, message
from services.ingest.mail.charsets import to_text
from services.ingest.mail.headers import Headers
from services.ingest.mail.html import html_to_text
from services.ingest.mail.quotes import split_quotes

OUTLOOK = "________________________________\nFrom: Acme\nSent: Thursday\nTo: Ann\nSubject: lamp\n\nold"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Danke!\n\nAm 01.01.2026 um 10:00 schrieb Acme Support:\n> old\n> older", "Danke!"),
        ("Hi\n\nOn Thu, Jan 1, 2026 at 10:00 AM Acme\n<a@acme.example> wrote:\n\n> old", "Hi"),
        ("Merci\n\nLe jeu. 1 janv. 2026 à 10:00, Acme <a@acme.example> a écrit :\n\n> vieux", "Merci"),
        ("tak\n\nDen 1. jan. 2026 kl. 10.00 skrev Acme <a@acme.example>:\n\n> gl", "tak"),
        ("ok\n" + OUTLOOK, "ok"),
        ("ok\n-----Original Message-----\nFrom: a@acme.example\nSent: Thursday\n\nold", "ok"),
        ("> q\n\nanswer below", "> q\n\nanswer below"),
        (
            "Hi\nOn 1 Jan 2026 Acme wrote:\n> one\nyes\n> two",
            "Hi\nOn 1 Jan 2026 Acme wrote:\n> one\nyes\n> two",
        ),
        ("> only\n> quotes", "> only\n> quotes"),
        ("I travel\nFrom: Berlin\nTo: Munich\nin 2026", "I travel\nFrom: Berlin\nTo: Munich\nin 2026"),
        ("  indented\n    code\n", "indented\n    code"),
        ("", ""),
    ],
)
def test_quoted_mail_is_left_out_and_words_of_the_sender_never(text: str, shown: str) -> None:
    assert split_quotes(text)[0] == shown


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one<p>two<br>three", "one\n\ntwo\nthree"),
        ("<head><title>t</title></head><STYLE>p{}</STYLE>a<!-- <b> -->b", "ab"),
        ("<script>if (a<b) {}</script>x<script>y", "x"),
        ("a &lt;b&gt; &amp;amp; &nbsp;c", "a <b> &amp; c"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "1 2"),
        ("3 < 4 and 5 > 4", "3 < 4 and 5 > 4"),
    ],
)
def test_html_is_shown_as_what_a_reader_sees(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("Grüße".encode(), "utf-8", "Grüße"),
        ("Grüße".encode("latin-1"), None, "Grüße"),
        ("Grüße".encode("latin-1"), "us-ascii", "Grüße"),
        ("Grüße".encode(), "x-mac-foo", "Grüße"),
        (
            "Привет, как дела? Спасибо за быстрый ответ, всё хорошо работает.".encode("cp1251"),
            "x-unknown",
            None,
        ),
        (b"hello", "punycode", "hello"),
        (b"hello", "zlib", "hello"),
        (b"hello", "\x00", "hello"),
    ],
)
def test_bytes_become_text_whatever_charset_they_claim(
    data: bytes, charset: str | None, text: str | None
) -> None:
    expected = text or data.decode("cp1251")
    assert to_text(data, charset) == expected


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("Ann <ann@x.example>", ("Ann", "ann@x.example")),
        ('"<fake@y.example>" <ann@x.example>', ("<fake@y.example>", "ann@x.example")),
        ("ann@x.example (Ann)", ("Ann", "ann@x.example")),
        ("=?utf-8?Q?A=2C_B?= <ann@x.example>, bob@x.example", ("A, B", "ann@x.example")),
        ("", ("", "")),
        ("undisclosed-recipients:;", ("", "")),
    ],
)
def test_the_first_mailbox_of_a_header_is_found(value: str, address: tuple[str, str]) -> None:
    assert Headers([("From", value)]).address("from") == address


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"Auto-Submitted: auto-generated", True),
        (b"Auto-Submitted: no (really)", False),
        (b"Return-Path: <>", True),
        (b"Return-Path: <ann@x.example>", False),
        (b"Precedence: Bulk", True),
        (b"X-Auto-Response-Suppress: All", False),
        (b"X-Autoreply: yes", True),
        (b"List-Unsubscribe: <mailto:x@y.example>", True),
        (b"Content-Type: multipart/report; boundary=b", True),
        (b"Subject: hello", False),
        (b"Subject: Automatic reply: lamp\nIn-Reply-To: <a@b.example>", True),
        (b"Subject: =?utf-8?Q?R=C3=A9ponse_automatique=C2=A0: lampe?=\nReferences: <a@b.example>", True),
        (b"Subject: Automatic reply: how do I set one up?", False),
        (b"Subject: Re: Automatic reply: lamp\nIn-Reply-To: <a@b.example>", False),
        (b"X-Autorespond: yes", True),
        (b"Precedence: auto_reply", True),
        (b"List-Id: <news.x.example>", True),
        (b"X-Loop: x", True),
    ],
)
def test_mail_no_person_wrote_is_told_by_its_headers(headers: bytes, expected: bool) -> None:  # noqa: FBT001  (a test's parameter)
    mail = message.read(b"From: ann@x.example\n" + headers + b"\n\nhi")
    assert automatic.is_automatic(mail, "ann@x.example") is expected


@pytest.mark.parametrize(
    "sender", ["MAILER-DAEMON@x.example", "no-reply@x.example", "donotreply+1@x.example"]
)
def test_robots_are_known_by_their_names(sender: str) -> None:
    assert automatic.is_automatic(message.read(b"Subject: x\n\nhi"), sender)
