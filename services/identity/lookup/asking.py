"""One question: signed (https://www.standardwebhooks.com), without redirects, bounded in time and size."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import httpx
import yaml
from standardwebhooks import Webhook

from services.chassis.clock import Clock, utc_now
from services.chassis.exchange import TooLarge, exchange
from services.chassis.outside import Forbidden, Rules, outside_client
from services.chassis.secrets import BadSecret, values
from services.identity.lookup.answers import MOST_BYTES, Said, read
from services.identity.settings import IdentitySettings

_ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_FIELD = "CUSTOMER_DATA_SECRET"
_PREFIX, _LEAST_BYTES = "whsec_", 16


@dataclass(frozen=True)
class Asking:
    """Asks the operator's system."""

    client: httpx.AsyncClient
    url: str
    secrets: tuple[str, ...]
    """Signing secrets that are valid now, the newest first."""
    seconds: float
    clock: Clock = utc_now

    async def __call__(self, question_id: str, body: dict[str, object]) -> Said:
        """Return what came of it; raises nothing that the other side can cause."""
        now = self.clock()
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self._signed(question_id, now, content)}
        try:
            answer = await exchange(
                self.client,
                "POST",
                self.url,
                most_bytes=MOST_BYTES,
                seconds=self.seconds,
                content=content,
                headers=headers,
                follow_redirects=False,
            )
        except (TimeoutError, httpx.TimeoutException):
            return Said("timeout")
        except Forbidden:
            return Said("forbidden_address")
        except TooLarge:
            return Said("too_large")
        except httpx.ConnectError:
            return Said("not_connected")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            return Said("unreadable")
        return read(answer.status_code, answer.content)

    def _signed(self, question_id: str, at: datetime, content: bytes) -> dict[str, str]:
        text = content.decode()
        return {
            "webhook-id": question_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(
                Webhook(secret).sign(question_id, at, text) for secret in self.secrets
            ),
        }


def asking_of(settings: IdentitySettings, clock: Clock = utc_now) -> Asking | None:
    """Return how to ask, None where no URL is set. Raises BadSecret, ValueError for a secret that is none."""
    if not settings.customer_data_url:
        return None
    private = Rules(_ANYWHERE, plain_http=True) if settings.customer_data_private else None
    return Asking(
        outside_client(settings, private),
        settings.customer_data_url,
        secrets_of(settings.customer_data_secret.get_secret_value()),
        settings.customer_data_timeout_seconds,
        clock,
    )


def secrets_of(given: str) -> tuple[str, ...]:
    """Return the signing secrets: the value itself, or as YAML where they are; see chassis.secrets."""
    written = yaml.safe_load(given) if given[:1] in ("{", "[") else given
    found = values(_FIELD, written, Path.cwd())
    if not all(secret.startswith(_PREFIX) and _is_key(secret.removeprefix(_PREFIX)) for secret in found):
        raise BadSecret(f"{_FIELD}: must be `whsec_` and {_LEAST_BYTES} bytes or more in base64")
    return found


def _is_key(encoded: str) -> bool:
    try:
        return len(base64.b64decode(encoded, validate=True)) >= _LEAST_BYTES
    except ValueError:
        return False
