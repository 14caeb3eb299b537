"""Records are written without their models: each must be what its model would have written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from schemas.common import Attachment, DeliveryStatus, Identifier
from services.ingest.channels.items import Said, received, reported
from services.ingest.webhook import Arrival, BadItem
from tests.unit.ingest.conftest import CORRELATION, NOW

TEXTS = st.text(st.characters(codec=None, categories=None), max_size=40)
WORDS = st.text(min_size=1, max_size=20)
MOMENTS = st.integers(0, 253_402_214_400).map(lambda second: datetime.fromtimestamp(second, UTC))
ATTACHMENTS = st.builds(
    Attachment,
    content_type=st.none() | WORDS,
    filename=st.none() | WORDS,
    size=st.none() | st.integers(0, 10**9),
    url=st.none() | WORDS,
    media_id=st.none() | WORDS,
)
IDENTIFIERS = st.lists(
    st.builds(Identifier, kind=st.sampled_from(["phone", "email"]), value=WORDS, verified=st.booleans()),
    min_size=1,
    max_size=3,
)


@given(
    said=st.builds(
        Said,
        text=TEXTS,
        kind=TEXTS,
        attachments=st.lists(ATTACHMENTS, max_size=3).map(tuple),
        in_reply_to=st.none() | TEXTS,
    ),
    identifiers=IDENTIFIERS,
    their_id=TEXTS,
    name=st.none() | TEXTS,
    subject=st.none() | TEXTS,
    sent_at=st.none() | MOMENTS,
    references=st.lists(WORDS, max_size=3).map(tuple),
    outbound=st.booleans(),
    automatic=st.booleans(),
)
def test_a_message_is_written_as_its_model_writes_it(
    arrival: Callable[[str], Arrival],
    identifiers: list[Identifier],
    said: Said,
    their_id: str,
    **more: object,
) -> None:
    came = arrival("twilio-sms")
    try:
        item = received(
            came,
            came.account,
            said,
            dedup="d",
            provider_message_id=their_id,
            identifiers=identifiers,
            key="k",
            **more,  # type: ignore[arg-type]
        )
    except BadItem:
        assert not their_id.strip()
        return
    record = item.record
    assert item.value == record.json_bytes()
    assert item.id == str(record.id)
    assert record.correlation == CORRELATION
    assert record.data.sent_at <= NOW + timedelta(milliseconds=1)
    assert record.personal.sender == identifiers[0]


@given(
    status=st.sampled_from(DeliveryStatus),
    their_id=WORDS.filter(str.strip),
    at=st.none() | MOMENTS,
    ours=st.none() | st.uuids(),
    code=st.none() | TEXTS,
    detail=st.none() | TEXTS,
)
def test_a_report_is_written_as_its_model_writes_it(
    arrival: Callable[[str], Arrival],
    status: DeliveryStatus,
    their_id: str,
    at: datetime | None,
    ours: UUID | None,
    code: str | None,
    detail: str | None,
) -> None:
    came = arrival("whatsapp")
    item = reported(
        came,
        came.account,
        status,
        dedup=("a",),
        provider_message_id=their_id,
        at=at,
        ours=ours,
        error_code=code,
        error_detail=detail,
    )
    assert item.value == item.record.json_bytes()
    assert item.record.data.message_id == ours
