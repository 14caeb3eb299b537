"""A file is seen with its message, and nowhere else; what is not there yet or never will be says so."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from schemas.common import BlobRef
from services.chassis.attachments import File, State, agents, visitors
from services.chassis.auth import Principal, Role, Visitor
from services.chassis.blobs import BlobMissing
from services.chassis.problems import Problem, conflict, not_found
from services.chassis.serving import served
from services.chassis.uploads import _name
from services.conversation.api import _sent
from services.conversation.files import Files
from services.conversation.inputs import ReplyInput
from services.conversation.permission import Reply

ANA, BEN = Principal("ana", frozenset({Role.AGENT})), Principal("ben", frozenset({Role.AGENT}))
ZOE = Visitor("demo", "zoe")


class World:
    """A timeline with one message, Ana's own; blobs and files in memory."""

    def __init__(self, *files: File, row: dict[str, Any] | None = None) -> None:
        self.files = {file.id: file for file in files}
        self.row = row
        self.kept: dict[str, bytes] = {}
        self.used: set[str] = set()

    async def find(self, ids: Iterable[str]) -> dict[str, File]:
        return {each: self.files[each] for each in ids if each in self.files}

    async def own(self, owner: str, ids: list[str], _at: datetime) -> list[File] | None:
        files = [self.files[each] for each in ids if each in self.files]
        return files if all(each.owner == owner for each in files) else None

    async def use(self, files: list[File]) -> None:
        self.used |= {each.id for each in files}

    async def message_with(self, _attachment: str) -> dict[str, Any] | None:
        return self.row

    async def seen(self, caller: Principal, _conversation: str) -> None:
        if caller is not ANA:
            raise not_found("the Conversation")

    async def homes(self, caller: Principal, _customer: str) -> None:
        if caller is not ANA:
            raise not_found("the Customer")

    async def read(self, ref: str) -> AsyncIterator[bytes]:
        if ref not in self.kept:
            raise BlobMissing(ref)
        yield self.kept[ref]

    async def of(self, caller: Principal | Visitor, attachment: str) -> File:
        own: Any = self
        return await Files(own, own, own).of(caller, attachment)


def row(**changes: Any) -> dict[str, Any]:
    chat = {"channel": "chat", "account": "demo", "address": "zoe"}
    return {"conversation_id": "k1", "home": "c1", **chat, **changes}


def file(state: State = State.STORED, owner: str = "message", **more: Any) -> File:
    return File(str(uuid4()), state, owner, **more)


async def status(work: Any) -> int:
    with pytest.raises(Problem) as caught:
        await work
    return caught.value.status


async def test_who_sees_the_message_sees_its_file() -> None:
    known = file()
    for of_conversation in ("k1", None):
        world = World(known, row=row(conversation_id=of_conversation))
        assert await world.of(ANA, known.id) == known
        assert await world.of(ZOE, known.id) == known
        assert await status(world.of(BEN, known.id)) == 404


@pytest.mark.parametrize("changes", [{"address": "max"}, {"account": "other"}, {"channel": "sms"}])
async def test_a_visitor_sees_files_of_the_own_chat_alone(changes: dict[str, str]) -> None:
    known = file()
    assert await status(World(known, row=row(**changes)).of(ZOE, known.id)) == 404


async def test_a_file_of_no_message_is_seen_by_who_uploaded_it() -> None:
    mine, zoes = file(owner=agents("ana")), file(owner=visitors("demo", "zoe"))
    world = World(mine, zoes)
    assert await world.of(ANA, mine.id) == mine
    assert await world.of(ZOE, zoes.id) == zoes
    for caller, other in ((BEN, mine), (ZOE, mine), (ANA, zoes), (Visitor("other", "zoe"), zoes)):
        assert await status(world.of(caller, other.id)) == 404


async def test_a_file_that_nothing_is_known_of_yet_is_pending_for_who_sees_its_message() -> None:
    world, name = World(row=row()), str(uuid4())
    assert await status(world.of(ANA, name)) == 409
    assert await status(world.of(BEN, name)) == 404
    assert await status(World().of(ANA, name)) == 404


async def test_what_is_not_there_says_why() -> None:
    world: Any = World()
    with pytest.raises(Problem) as caught:
        await served(file(State.PENDING), world)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (409, "2")
    for reason in ("not_found", "too_large", "a reason of tomorrow"):
        with pytest.raises(Problem) as caught:
            await served(file(State.REFUSED, reason=reason), world)
        assert (caught.value.status, caught.value.body["state"]) == (410, reason)
    lost = BlobRef(ref="gone", sha256="", size=1)
    assert await status(served(file(blob=lost), world)) == 410


async def test_only_known_types_are_served_as_what_they_are() -> None:
    world: Any = World()
    world.kept = {"r": b"<svg/>"}
    blob = BlobRef(ref="r", sha256=hashlib.sha256(b"<svg/>").hexdigest(), size=6)
    for kind in ("image/svg+xml", "text/html", "application/x-executable", None):
        answer = await served(file(blob=blob, content_type=kind, filename='../a".html\r\nX: y'), world)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == 'attachment; filename="a\'.htmlX: y"'
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


async def test_a_file_is_kept_for_good_only_once_the_reply_that_has_it_is_sent() -> None:
    mine = file(owner=agents("ana"))
    world = World(mine)
    anything: Any = world
    parts: Any = SimpleNamespace(files=Files(anything, anything, anything))
    reply = ReplyInput.model_validate({"text": "here", "attachments": [{"id": mine.id}]})

    async def refused(_: Reply) -> UUID:
        raise conflict("it is closed")

    assert await status(_sent(parts, ANA, reply, refused)) == 409
    assert world.used == set()

    async def sent(wanted: Reply) -> UUID:
        assert [str(each.id) for each in wanted.attachments] == [mine.id]
        return uuid4()

    assert (await _sent(parts, ANA, reply, sent)).status == 202
    assert world.used == {mine.id}
    assert await status(_sent(parts, BEN, reply, sent)) == 422


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_that_names_a_file_is_a_fault(value: str) -> None:
    raw = value.encode("latin-1")
    for name in (b"content-disposition", b"x-filename"):
        found = _name(Request({"type": "http", "headers": [(name, raw)]}))
        assert found is None or isinstance(found, str)
