"""Messenger's and Instagram's Send API: POST /{version}/{page}/messages, a text or one file a request.

https://developers.facebook.com/docs/messenger-platform/reference/send-api. Meta does not
deduplicate. A reply is free for 24 hours after the person wrote; for 7 days a person here may still
answer under the tag HUMAN_AGENT. A message that is known to be late bears it at once. By whose clock
the day is over is Meta's to say: the tag is also tried when the plain reply is refused, which is certainly
not taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from schemas.common import Attachment, IdentifierKind
from schemas.outbound import MessageSend
from services.chassis.accounts import Account
from services.notifier.channels.graph import ACCOUNT_BROKEN, VERSION, Codes, meaning
from services.notifier.channels.parts import one_by_one, pieces
from services.notifier.channels.sending import (
    Means,
    Refused,
    Sent,
    base_url,
    document,
    post,
    refused,
    secret,
)

CODES = Codes(
    slow_down=frozenset({4, 17, 32, 613, 80002, 80006}),
    transient=frozenset({1, 2, 1200}),
    kinds={"invalid_recipient": frozenset({551}), "account_broken": ACCOUNT_BROKEN},
    subcodes={
        "outside_window": frozenset({2018278, 2018065, 2534022}),
        "invalid_recipient": frozenset({1545041, 2018001, 2018108}),
    },
)
_RESPONSE = {"messaging_type": "RESPONSE"}
_BY_A_PERSON = {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
_FILES = ("image", "video", "audio")
Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Platform:
    """In what Messenger and Instagram differ."""

    kind: IdentifierKind
    base: str
    text_bytes: int
    """Longest text of one message, in `encoding`."""
    encoding: str
    metadata: bool
    """Takes our message id along, and brings it back in the echo."""
    by_token: bool = False
    """The token says whose account it is, not the path."""


@dataclass(slots=True)
class Letter:
    """A message on its way."""

    platform: Platform
    means: Means
    account: Account
    message: MessageSend
    tagged: bool = False

    async def send(self) -> Sent:
        """Send its parts, each in a request of its own. See Send."""
        to = self.message.personal.to
        if to.kind is not self.platform.kind:
            raise refused(f"no {self.platform.kind.value} address", "invalid_recipient")
        self.tagged = self.message.data.human_agent
        parts = self._parts()
        last = len(parts)
        named = [self._named(part, number, last) for number, part in enumerate(parts, start=1)]
        return await one_by_one(self.means, [partial(self._ask, part) for part in named])

    def _parts(self) -> Sequence[Part]:
        personal, platform = self.message.personal, self.platform
        texts = pieces(personal.text, platform.text_bytes, platform.encoding)
        files = [_file(each, self.means.files.link(each)) for each in personal.attachments]
        return [*({"text": text} for text in texts), *files]

    def _named(self, part: Part, number: int, last: int) -> Part:
        """The last part carries our id: what becomes of it becomes of the message."""
        if not self.platform.metadata:
            return part
        ours = str(self.message.data.message_id)
        return {**part, "metadata": ours if number == last else f"{ours}/{number}"}

    async def _ask(self, part: Part) -> Sent:
        try:
            return await self._post(part)
        except Refused as refusal:
            data = self.message.data
            by_a_person = data.agent is not None and not data.automatic
            if refusal.kind != "outside_window" or self.tagged or not by_a_person:
                raise
            self.tagged = True
            try:
                return await self._post(part)
            except Refused:
                raise refusal from None

    async def _post(self, part: Part) -> Sent:
        account = self.account
        page = "me" if self.platform.by_token else quote(account.address, safe="")
        answer = await post(
            self.means.client,
            f"{base_url(account, self.platform.base)}/{VERSION}/{page}/messages",
            json={
                "recipient": {"id": self.message.personal.to.value},
                **(_BY_A_PERSON if self.tagged else _RESPONSE),
                "message": part,
            },
            headers={"Authorization": f"Bearer {secret(account, 'access_token')}"},
        )
        mid = document(answer).get("message_id")
        if answer.is_success and isinstance(mid, str) and mid:
            return Sent(mid)
        raise meaning(answer, CODES)


def _file(attachment: Attachment, url: str) -> Part:
    family = (attachment.content_type or "").partition("/")[0]
    kind = family if family in _FILES else "file"
    return {"attachment": {"type": kind, "payload": {"url": url, "is_reusable": False}}}
