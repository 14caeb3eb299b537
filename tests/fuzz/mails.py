"""What a mail is made of: its parts, its quotes, its HTML; and identifiers of any kind."""

from collections.abc import Iterator
from contextlib import suppress
from html.parser import HTMLParser

from schemas.common import IdentifierKind
from services.chassis.identifiers import InvalidIdentifier, normalise, parse_identifier
from services.chassis.reply_address import named_customer
from services.ingest.mail import automatic, message
from services.ingest.mail.html import html_to_text
from services.ingest.mail.quotes import split_quotes
from services.ingest.mail.safe import safe_html
from tests import recorded

_ELEMENTS = frozenset(
    {"script", "style", "iframe", "object", "embed", "form", "input", "link", "meta", "base", "svg"}
)
_LINKS = ("http:", "https:", "mailto:", "tel:")
_KINDS = (*IdentifierKind, "sms", "voice", "external:shop")


def read_mail(data: bytes) -> None:
    mail = message.read(data)
    automatic.is_automatic(mail, "ann@mail.example.org")
    automatic.bounce(mail)
    for text in (mail.text, mail.html, *map(mail.headers.text, ("subject", "from", "to"))):
        assert isinstance(text, str)
    mail.headers.text("subject").encode()
    for name in ("from", "to", "sender", "reply-to"):
        shown, address = mail.headers.address(name)
        f"{shown}{address}{mail.headers.addresses(name)}{mail.headers.ids(name)}".encode()
    for index in range(min(len(mail.attachments), 5)):
        message.attached(data, index)


def split_mail(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    own, quoted = split_quotes(text)
    assert "".join((own + quoted).split()) == "".join(text.split()), "a word is lost"


def clean_html(data: bytes) -> None:
    document = data.decode("utf-8", "surrogateescape")
    html_to_text(document)
    shown = safe_html(document)
    if shown is None:
        return
    shown.encode()
    reader = _Reader()
    reader.feed(shown)
    reader.close()


class _Reader(HTMLParser):
    """Refuses what runs or loads something."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in _ELEMENTS, tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in {"style", "srcset", "background", "poster", "action"}, name
            assert name != "src" or (value or "").startswith("cid:"), name
            assert name != "href" or (value or "").startswith(_LINKS), name


def name_somebody(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with suppress(InvalidIdentifier):
        parse_identifier(text)
    for kind in _KINDS:
        try:
            once = normalise(kind, text)
        except InvalidIdentifier:
            continue
        once.encode()
        again = "external" if kind.startswith("external") else kind
        assert normalise(again, once) == once
    assert named_customer("support@parley.example", text, ["a secret that was never told"]) is None


def mail_seeds() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in recorded.payloads() if path.suffix == ".eml")


def text_seeds() -> Iterator[bytes]:
    yield b"Hi\n\nOn Thu, Jan 1, 2026 at 10:00 AM Acme\n<a@acme.example> wrote:\n\n> old"
    yield b"ok\n-----Original Message-----\nFrom: a@acme.example\nSent: Thursday\n\nold"
    yield "Le jeu. 1 janv. 2026 à 10:00, Acme <a@acme.example> a écrit :\n\n> vieux".encode()
    yield from (message.read(each).text.encode("utf-8", "replace") for each in mail_seeds())


def html_seeds() -> Iterator[bytes]:
    yield b'<h1>Hi</h1><p>a <a href="https://shop.example/x">c</a></p><img src="cid:logo" alt="d">'
    yield b"<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>"
    yield b"<svg><script>alert(1)</script></svg><!--><script>alert(1)</script>-->"
    yield b"<table background='https://track.example/p.gif'><tr><td style='x' onclick=y>x&#1;&lt;"
    yield from (message.read(each).html.encode("utf-8", "replace") for each in mail_seeds())


def identifier_seeds() -> Iterator[bytes]:
    for text in ("+1 (555) 123-0001", "Ann.B+tag@Mail.EXAMPLE.org", "NL.a1B2", "external:shop:42", "sms:1"):
        yield text.encode()
