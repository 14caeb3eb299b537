"""What a file is, is told by its bytes; what it is called deceives nobody."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.filetypes import EXECUTABLE, SERVED, UNKNOWN, content_disposition, safe_name, sniffed

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(32)
JPEG = bytes.fromhex("ffd8ffe000104a4649460001") + bytes(32)
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"
EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff" + bytes(64)
OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def _docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("_rels/.rels", "<Relationships/>")
        archive.writestr("word/document.xml", "<w:document/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "declared", "is_"),
    [
        (PNG, "image/jpeg", "image/png"),
        (JPEG, "text/html", "image/jpeg"),
        (PDF, None, "application/pdf"),
        (b"OggS\x00\x02" + bytes(30), "audio/ogg; codecs=opus", "audio/ogg"),
        (_docx(), None, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (OLE, "application/vnd.ms-excel", "application/vnd.ms-excel"),
        (OLE, "text/html", UNKNOWN),
        ("Grüße".encode(), "text/plain", "text/plain"),
        (b"name,age\nann,30\n", "text/csv", "text/csv"),
        (b"BEGIN:VCARD\nEND:VCARD\n", "text/vcard; charset=utf-8", "text/vcard"),
        (b"BMW or not?", None, "text/plain"),
        (b"MZ was a motorcycle", "text/plain", "text/plain"),
        (b"plain", "image/png", "text/plain"),
        (b"<!doctype html><script>alert(1)</script>", "text/html", UNKNOWN),
        (b"\n\n <html>", "text/plain", UNKNOWN),
        (b"\xef\xbb\xbf<html>", "text/plain", UNKNOWN),
        (SVG, "image/svg+xml", UNKNOWN),
        (b"#!/bin/sh\nrm -rf /\n", "text/plain", UNKNOWN),
        (b"\xff\xfe<\x00h\x00t\x00m\x00l\x00>\x00", "text/html", UNKNOWN),
        (b"", "image/png", UNKNOWN),
        (EXE, "image/png", EXECUTABLE),
        (b"\x7fELF\x02\x01\x01" + bytes(40), None, EXECUTABLE),
        (bytes.fromhex("cffaedfe") + bytes(40), "application/pdf", EXECUTABLE),
    ],
)
def test_the_type_follows_from_the_bytes(data: bytes, declared: str | None, is_: str) -> None:
    assert sniffed(data, declared) == is_


@given(st.binary(max_size=300), st.none() | st.text(max_size=40))
def test_no_bytes_are_served_under_a_type_that_acts(data: bytes, declared: str | None) -> None:
    assert sniffed(data, declared) in SERVED | {UNKNOWN, EXECUTABLE}
    assert not {"text/html", "image/svg+xml", "application/xml", "text/javascript"} & SERVED


@pytest.mark.parametrize(
    ("given_", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("..", "file.png"),
        ("", "file.png"),
        (None, "file.png"),
        ("a\r\nSet-Cookie: x=y.png", "aSet-Cookie: x=y.png"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("a\x00b.pdf", "a\ufffdb.pdf".replace("\ufffd", "")),
        ('say "hi".txt', "say 'hi'.txt"),
        ("\ud800.txt", "txt"),
        ("Rechnung März.pdf", "Rechnung März.pdf"),
        ("x" * 400 + ".pdf", "x" * 146 + ".pdf"),
        (".htaccess", "htaccess"),
    ],
)
def test_file_names_are_made_safe(given_: str | None, safe: str) -> None:
    assert safe_name(given_, "image/png", "file") == safe


@given(st.text(), st.booleans())
def test_no_name_breaks_the_header(name: str, shown: bool) -> None:  # noqa: FBT001  (hypothesis gives it)
    header = content_disposition(safe_name(name, "image/png", "file"), shown=shown)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "/" not in header
    assert "\\" not in header


def test_a_name_that_is_not_ascii_is_given_both_ways() -> None:
    header = content_disposition("März 100%.pdf", shown=False)
    assert header == "attachment; filename=\"M_rz 100_.pdf\"; filename*=UTF-8''M%C3%A4rz%20100%25.pdf"
    assert content_disposition("a.png", shown=True) == 'inline; filename="a.png"'
