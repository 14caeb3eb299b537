"""What ingest counts, each metric once."""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

RECEIVED = Counter(
    "parley_ingest_received_webhooks_total", "Requests that came in, by provider", ["provider"]
)
REFUSED = Counter(
    "parley_ingest_refused_webhooks_total",
    "Requests not taken: forged, unknown_account, too_large, too_slow, aborted, invalid, unauthorized, "
    "limited, unavailable",
    ["provider", "reason"],
)
PUBLISHED = Counter(
    "parley_ingest_published_items_total",
    "Items of webhooks acknowledged by Kafka, by topic",
    ["provider", "topic"],
)
QUARANTINED = Counter(
    "parley_ingest_quarantined_items_total",
    "Verified webhooks, or items of them, that could not be read",
    ["provider"],
)
SECONDS = Histogram(
    "parley_ingest_request_seconds",
    "Time from a request's headers to its answer",
    ["provider"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30),
)


ATTACHMENTS = Counter(
    "parley_ingest_attachments_total",
    "Tries to fetch a file of a message: stored, postponed, refused",
    ["provider", "outcome"],
)
WAITING = Gauge("parley_ingest_attachments_waiting", "Files that are still to be fetched, by any replica")


def prepare(providers: Iterable[str]) -> None:
    """Show at zero what alerts watch: a counter that is born at 1 shows no increase."""
    for provider in providers:
        RECEIVED.labels(provider)
        QUARANTINED.labels(provider)
        for outcome in ("stored", "postponed", "refused"):
            ATTACHMENTS.labels(provider, outcome)
        for reason in ("forged", "unavailable"):
            REFUSED.labels(provider, reason)
