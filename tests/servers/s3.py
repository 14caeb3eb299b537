"""A small S3: PUT, GET, HEAD and DELETE of objects, with the signature of each request checked.

Signature Version 4 as documented: docs.aws.amazon.com, "Authenticating Requests: Using the Authorization
Header". Objects are named by the path alone, as S3-compatible stores do with path-style addresses.
"""

import hashlib
import hmac
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, urlsplit

KEY, SECRET, REGION = "AKIDINVENTED", "invented-secret", "eu-test-1"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


class S3(ThreadingHTTPServer):
    """Objects by path; `broken` answers every request 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.refused: list[str] = []
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def do_PUT(self) -> None:
        body = self._body()
        if self._allowed(body):
            self.server.objects[urlsplit(self.path).path] = body
            self._answer(200, headers={"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})

    def do_GET(self) -> None:
        if self._allowed(b""):
            found = self.server.objects.get(urlsplit(self.path).path)
            if found is None:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            else:
                headers = {"ETag": '"x"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
                self._answer(200, found, headers)

    def do_DELETE(self) -> None:
        if self._allowed(b""):
            self.server.objects.pop(urlsplit(self.path).path, None)
            self._answer(204)

    def do_POST(self) -> None:
        body = self._body()
        if self._allowed(body):
            bucket = urlsplit(self.path).path.rstrip("/")
            keys = [key.decode() for key in re.findall(rb"<Key>([^<]+)</Key>", body)]
            for key in keys:
                self.server.objects.pop(f"{bucket}/{key}", None)
            gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            self._answer(200, f"<?xml version='1.0'?><DeleteResult>{gone}</DeleteResult>".encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", "0")))

    def _allowed(self, body: bytes) -> bool:
        if self.server.broken:
            self._answer(503, b"<Error><Code>SlowDown</Code></Error>")
            return False
        found = _AUTHORIZATION.fullmatch(self.headers.get("authorization", ""))
        if found and found[1] == KEY and found[3] == REGION and self._signature(found, body) == found[5]:
            return True
        self.server.refused.append(self.path)
        self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        return False

    def _signature(self, found: re.Match[str], body: bytes) -> str:
        url = urlsplit(self.path)
        query = sorted(
            (quote(n, safe="-_.~"), quote(v, safe="-_.~"))
            for n, v in parse_qsl(url.query, keep_blank_values=True)
        )
        names = found[4].split(";")
        declared = self.headers.get("x-amz-content-sha256", "")
        assert declared in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest())
        canonical = "\n".join(
            [
                self.command,
                url.path,
                "&".join(f"{name}={value}" for name, value in query),
                *(f"{name}:{self.headers[name].strip()}" for name in names),
                "",
                found[4],
                declared,
            ]
        )
        scope = f"{found[2]}/{REGION}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self.headers['x-amz-date']}\n{scope}\n{digest}"
        key = f"AWS4{SECRET}".encode()
        for part in (found[2], REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running_s3() -> Iterator[S3]:
    """Serve until the block ends."""
    server = S3()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
