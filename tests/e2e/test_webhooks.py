"""An integrator subscribes at the whole local stack and hears of what a Customer writes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep

import httpx
from standardwebhooks import Webhook

from tests.servers.stack import running_stack

Request = tuple[dict[str, str], bytes]


@contextmanager
def integrator() -> Iterator[tuple[str, list[Request]]]:
    heard: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/parley", heard
        server.shutdown()


def test_an_integrator_hears_of_a_message_in_the_order_of_its_thread(tmp_path: Path) -> None:
    allowed = {"OUTSIDE_ALLOWED_NETWORKS": "127.0.0.0/8", "OUTSIDE_PLAIN_HTTP": "true"}
    with integrator() as (url, heard), running_stack(tmp_path, **allowed) as stack:
        token = stack.run("deploy.local.token", "adam").stdout.strip()
        with httpx.Client(
            base_url=f"{stack.url}/notifier/v1", headers={"Authorization": f"Bearer {token}"}
        ) as http:
            made = http.post("/webhooks", json={"url": url, "events": ["*"]}).json()
            sent = stack.run("deploy.local.send", CHANNEL="sms", FROM="+15551230001", TEXT="Hello")
            assert sent.returncode == 0, sent.stderr
            deadline = monotonic() + 30
            while "message.added" not in (types := _types(heard)) and monotonic() < deadline:
                sleep(0.05)
            deliveries = http.get(f"/webhooks/{made['id']}/deliveries").json()["items"]
        events = [Webhook(made["secret"]).verify(body, headers) for headers, body in heard]
    assert {"customer.created", "conversation.opened", "message.added"} <= set(types)
    seqs = [event["data"]["seq"] for event in events if event["data"]["conversation_id"]]
    assert seqs == sorted(set(seqs))
    assert {each["event_id"] for each in deliveries} >= {event["data"]["id"] for event in events}


def _types(heard: list[Request]) -> list[str]:
    return [json.loads(body)["type"] for _, body in heard]
