"""Metrics of notifier, each declared once."""

from prometheus_client import Counter, Gauge, Histogram

SENDS = Counter(
    "parley_notifier_sends_total",
    "Requests to providers by outcome: sent, refused, retry, held (the account was refused), unknown",
    ["provider", "outcome"],
)
SEND_SECONDS = Histogram(
    "parley_notifier_send_seconds",
    "Time of a request to a provider",
    ["provider"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TO_PROVIDER_SECONDS = Histogram(
    "parley_notifier_reply_to_provider_seconds",
    "From storing a reply to the provider's acceptance",
    ["provider"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
)
WAITING = Gauge("parley_notifier_waiting_messages", "Messages not yet taken by the provider", ["account"])
ACCOUNT_PAUSED = Gauge(
    "parley_notifier_account_paused",
    "1 while the provider refuses our account and its messages wait",
    ["provider", "account"],
)
UNKNOWN = Counter("parley_notifier_unknown_total", "Messages whose fate is unknown", ["provider"])
RETRIES = Counter("parley_notifier_send_retries_total", "Messages put back for another try", ["provider"])
RECEIPTS = Counter(
    "parley_notifier_receipts_total",
    "Providers' receipts by what became of them: merged, stale, parked, unparked, watermark, shown",
    ["provider", "outcome"],
)
CLIENTS = Gauge("parley_notifier_stream_clients", "Open streams", ["kind"])
RESUMES = Counter(
    "parley_notifier_stream_resumes_total",
    "Streams resumed, by where from: memory, kafka, reset",
    ["source"],
)
CLOSED_STREAMS = Counter(
    "parley_notifier_stream_closed_total", "Streams closed by us: slow, expired", ["reason"]
)
TO_STREAM_SECONDS = Histogram(
    "parley_notifier_webhook_to_stream_seconds",
    "From a webhook's receipt to its message on the live feed",
    ["channel"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600),
)
WEBHOOK_POSTS = Counter(
    "parley_notifier_webhook_posts_total",
    "Requests to integrators' endpoints by what became of the event: delivered, retry, given_up",
    ["outcome"],
)
WEBHOOKS_PAUSED = Gauge(
    "parley_notifier_webhooks_paused",
    "Paused webhook subscriptions by reason: requested, failing, gone",
    ["reason"],
)
WEBHOOK_WAITING = Gauge("parley_notifier_webhook_waiting_events", "Events that wait for an endpoint")
