"""Metrics of the plumbing, each declared once. Services declare their own beside their code."""

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("parley_published_records_total", "Records acknowledged by Kafka", ["topic"])
PUBLISH_FAILURES = Counter("parley_publish_failures_total", "Publishes that were not acknowledged", ["error"])
CONSUMED = Counter("parley_consumed_records_total", "Records read from Kafka", ["group", "topic"])
OUTCOMES = Counter(
    "parley_handled_records_total",
    "Records by what became of them: handled, duplicate, erased, dead_lettered",
    ["group", "topic", "outcome"],
)
RETRIES = Counter(
    "parley_batch_retries_total", "Batches tried again after a fault", ["group", "topic", "error"]
)
BATCH_SECONDS = Histogram(
    "parley_batch_seconds",
    "Time from a poll's records to their commit",
    ["group", "topic"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 20),
)
BATCH_RECORDS = Histogram(
    "parley_batch_records",
    "Records in a batch",
    ["group", "topic"],
    buckets=(1, 2, 5, 10, 50, 100, 500, 2000),
)
LAG = Gauge(
    "parley_consumer_lag_records", "Records behind the end of the log", ["group", "topic", "partition"]
)
HALTED = Gauge(
    "parley_consumer_halted",
    "1 when a consumer stopped itself because most records failed",
    ["group", "topic"],
)
REBALANCES = Counter("parley_rebalances_total", "Partition assignments received", ["group", "topic"])
COMMIT_FAILURES = Counter(
    "parley_commit_failures_total", "Offset commits that failed", ["group", "topic", "error"]
)
CONFLICTS = Counter(
    "parley_version_conflicts_total", "Optimistic writes lost to another writer", ["collection"]
)
SET_ASIDE = Counter(
    "parley_outbox_set_aside_total",
    "Records too large for the broker, kept in <collection>_stuck",
    ["collection"],
)
OUTBOX_AGE = Gauge(
    "parley_outbox_oldest_seconds", "Age of the oldest change whose effects are not yet out", ["collection"]
)
HTTP_SECONDS = Histogram(
    "parley_http_request_seconds",
    "Time to answer a request",
    ["service", "method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
READY = Gauge("parley_service_ready", "1 when the last readiness probe found all well", ["service"])
LOOP_FAILURES = Counter("parley_loop_failures_total", "Failed rounds of a background loop", ["loop", "error"])
ACCOUNTS_REFUSED = Gauge(
    "parley_accounts_refused",
    "1 while the accounts file, or a secret it names, cannot be used and the accounts before stay in force",
    ["service"],
)
