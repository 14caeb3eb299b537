"""What a provider's receipt says, whatever its form: pure functions on records."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas.common import DeliveryStatus
from schemas.inbound import DeliveryData, DeliveryEcho, DeliveryReported, MessageReceived
from services.notifier.domain import Evidence, Send, provider_key


@dataclass(frozen=True, slots=True)
class Part:
    """An earlier part of a message of ours; `place` as `1 of 2`."""

    message_id: str
    place: str


def evidence_of(receipt: DeliveryReported, kind: str | None = None) -> Evidence:
    """Return what a provider's receipt says; `kind` is what its error is about."""
    data = receipt.data
    return Evidence(
        data.status,
        data.at,
        receipt.id,
        data.provider_message_id,
        data.error_code,
        data.error_detail,
        kind,
        taken_at=data.at if data.status is DeliveryStatus.SENT else None,
    )


def evidence_of_part(receipt: DeliveryReported, part: str, kind: str | None) -> Evidence | None:
    """Return what a receipt about an earlier part says of the message: nothing, unless the part failed."""
    if receipt.data.status is not DeliveryStatus.FAILED:
        return None
    own, detail = evidence_of(receipt, kind), f"part {part} failed"
    if own.error_detail:
        detail = f"{detail}: {own.error_detail}"
    return replace(own, provider_message_id=None, error_detail=detail, failed_part=part)


def as_report(receipt: DeliveryReported | DeliveryEcho) -> DeliveryReported:
    """Return an echo as the receipt it is, if the message is one of ours: it was sent."""
    if isinstance(receipt, DeliveryReported):
        return receipt
    return DeliveryReported(
        id=receipt.id,
        occurred_at=receipt.occurred_at,
        correlation=receipt.correlation,
        data=DeliveryData(
            provider=receipt.data.provider,
            account=receipt.data.account,
            provider_message_id=receipt.personal.provider_message_id,
            status=DeliveryStatus.SENT,
            at=receipt.data.sent_at,
        ),
    )


def as_message(echo: DeliveryEcho) -> MessageReceived:
    """Return an echo as the message it is, if it is none of ours."""
    return MessageReceived(
        id=echo.id,
        occurred_at=echo.occurred_at,
        correlation=echo.correlation,
        data=echo.data,
        personal=echo.personal,
    )


def key_of(receipt: DeliveryReported) -> str:
    """Return the provider's name for the message it is about."""
    return provider_key(receipt.data.provider, receipt.data.account, receipt.data.provider_message_id)


def names_of(send: Send) -> list[str]:
    """All names by which a receipt may mean this message; an id of ours counts only on its own account."""
    own = f"{send.source}#{send.message_id}"
    return [own, send.provider_key] if send.provider_key else [own]


def match(receipt: DeliveryReported, names: Mapping[str, str]) -> str | None:
    """Return the message that the receipt is about, of those that have these names."""
    data = receipt.data
    own = f"{data.provider}/{data.account}#{data.message_id}"
    return names.get(own) or names.get(key_of(receipt))
