"""The rows of the five services: what every consumer has, and what is a service's own."""

from deploy.grafana.model import Panel, Row
from deploy.grafana.queries import mean, or_zero, quantiles, rate


def _stage(service: str, *own: Panel) -> Row:
    """Return the row of a service: what every consumer has, then what is its own."""
    group = f'group=~"{service}([.].*)?"'
    each = f"max by (topic) (parley_consumer_halted{{{group}}})"
    return Row(
        service,
        [
            Panel(
                "Throughput",
                "Records handled, by topic.",
                "cps",
                {"{{topic}}": f"sum by (topic) (group_topic:parley_handled_records:rate5m{{{group}}})"},
            ),
            Panel(
                "Batch time",
                "From a poll's records to their commit.",
                "s",
                quantiles("parley_batch_seconds", "topic", where=group, of=(0.5, 0.99)),
            ),
            Panel(
                "Batch size",
                "Records in a batch, on average.",
                "short",
                {"{{topic}}": mean("parley_batch_records", "topic", where=group)},
            ),
            Panel(
                "Lag",
                "Records behind the end of the log.",
                "short",
                {"{{topic}}": f"sum by (topic) (group_topic:parley_consumer_lag_records:sum{{{group}}})"},
            ),
            Panel(
                "Tried again, given up, repeated",
                "Batches tried again after a fault of ours; records dead-lettered; harmless duplicates.",
                "cps",
                {
                    "tried again {{topic}}": or_zero(
                        rate("parley_batch_retries_total", "topic", where=group), each
                    ),
                    "given up {{topic}}": rate(
                        "parley_handled_records_total", "topic", where=f'{group},outcome="dead_lettered"'
                    ),
                    "duplicate {{topic}}": rate(
                        "parley_handled_records_total", "topic", where=f'{group},outcome="duplicate"'
                    ),
                },
            ),
            Panel(
                "Halted, rebalances, failed commits",
                "1 where a consumer stopped itself; assignments and failed commits a second.",
                "short",
                {
                    "halted {{topic}}": each,
                    "rebalances {{topic}}": rate("parley_rebalances_total", "topic", where=group),
                    "commits failed {{topic}}": or_zero(
                        rate("parley_commit_failures_total", "topic", where=group), each
                    ),
                },
                bad_from=1,
            ),
            *own,
        ],
    )


_INGEST = _stage(
    "ingest",
    Panel(
        "Requests",
        "Webhooks and visitors' messages, by provider.",
        "reqps",
        {"{{provider}}": rate("parley_ingest_received_webhooks_total", "provider")},
    ),
    Panel(
        "Time to answer",
        "Signature, parsing, Kafka's acknowledgement. Meta asks for 250 ms at the median.",
        "s",
        quantiles("parley_ingest_request_seconds"),
        bad_from=1,
    ),
    Panel(
        "Slowest provider",
        "99th percentile over five minutes, by provider.",
        "s",
        {"{{provider}}": "provider:parley_ingest_request_seconds:p99_5m"},
        bad_from=1,
    ),
    Panel(
        "Published",
        "Items acknowledged by Kafka, by topic.",
        "cps",
        {"{{topic}}": rate("parley_ingest_published_items_total", "topic")},
    ),
    Panel(
        "Refused",
        "Requests not taken, by provider and reason.",
        "reqps",
        {"{{provider}} {{reason}}": rate("parley_ingest_refused_webhooks_total", "provider", "reason")},
    ),
    Panel(
        "Quarantined",
        "Verified items that could not be read.",
        "cps",
        {"{{provider}}": rate("parley_ingest_quarantined_items_total", "provider")},
    ),
    Panel(
        "Files of messages",
        "Tries to fetch them: stored, postponed, refused.",
        "cps",
        {"{{outcome}}": rate("parley_ingest_attachments_total", "outcome")},
    ),
    Panel(
        "Files to fetch",
        "Still waiting, those that are tried again among them.",
        "short",
        {"waiting": "max(parley_ingest_attachments_waiting)"},
    ),
)

_IDENTITY = _stage(
    "identity",
    Panel(
        "Customers made",
        "By message or by an Agent.",
        "cps",
        {"{{by}}": rate("parley_identity_customers_created_total", "by")},
        width=12,
    ),
    Panel(
        "Conflicts and commands",
        "Messages whose identifiers belong to two Customers; commands of Agents.",
        "cps",
        {
            "conflicts": rate("parley_identity_conflicts_total"),
            "{{command}}": or_zero(rate("parley_identity_commands_total", "command")),
        },
        width=12,
    ),
    Panel(
        "Customer data",
        "Questions to the operator's own system, by what came of them; `found` and `unknown` are answers.",
        "reqps",
        {"{{outcome}}": or_zero(rate("parley_identity_lookups_total", "outcome"))},
        width=12,
    ),
)

_CONVERSATION = _stage(
    "conversation",
    Panel(
        "From webhook to timeline",
        "99th percentile over five minutes, by channel.",
        "s",
        {"{{channel}}": "channel:parley_conversation_webhook_to_timeline_seconds:p99_5m"},
        bad_from=1,
    ),
    Panel(
        "Commands",
        "What Agents and leads asked for.",
        "cps",
        {"{{command}}": rate("parley_conversation_commands_total", "command")},
    ),
    Panel(
        "Timers and lost races",
        "Threads changed by a timer; writes lost to another writer, decided again.",
        "cps",
        {
            "timers": rate("parley_conversation_timers_total"),
            "lost races {{collection}}": or_zero(rate("parley_version_conflicts_total", "collection")),
        },
    ),
)

_ROUTER = _stage(
    "router",
    Panel(
        "Time of a step",
        "The engine per input, averaged over a batch, by pool.",
        "s",
        quantiles("parley_router_step_seconds", "pool", of=(0.5, 0.99)),
    ),
    Panel(
        "Decisions",
        "By type, journaled.",
        "cps",
        {"{{type}}": rate("parley_router_decisions_total", "type")},
    ),
    Panel(
        "Refusals and unanswered commands",
        "Assigns refused, by reason; HTTP commands without a decision in time.",
        "cps",
        {
            "refused: {{reason}}": or_zero(rate("parley_router_refusals_total", "reason")),
            "unanswered {{command}}": or_zero(rate("parley_router_command_timeouts_total", "command")),
        },
    ),
    Panel(
        "Error of expected waits",
        "Real minus expected wait at the grant, of those who had to wait; above 0 they waited longer.",
        "s",
        {
            name: or_zero(query)
            for name, query in quantiles(
                "parley_router_expected_wait_error_seconds", "channel_class", of=(0.1, 0.5, 0.9)
            ).items()
        },
    ),
    Panel(
        "Ownership of pools",
        "Journal entries lost to another owner; entries that replay otherwise than recorded.",
        "short",
        {
            "lost {{pool}}": "sum by (pool) (parley_router_journal_conflicts_total)",
            "diverged {{pool}}": "sum by (pool) (parley_router_replay_divergences_total)",
        },
        width=12,
    ),
    Panel(
        "Agents above capacity",
        "Agents who hold more Conversations than their profile allows: forced, or given less room since.",
        "short",
        {"{{pool}}": "max by (pool) (parley_router_agents_above_capacity)"},
        width=12,
        bad_from=1,
    ),
)

_NOTIFIER = _stage(
    "notifier",
    Panel(
        "Requests to providers",
        "By provider and what came of them.",
        "reqps",
        {"{{provider}} {{outcome}}": rate("parley_notifier_sends_total", "provider", "outcome")},
    ),
    Panel(
        "Time of a request to a provider",
        "By provider.",
        "s",
        quantiles("parley_notifier_send_seconds", "provider", of=(0.5, 0.99)),
        bad_from=5,
    ),
    Panel(
        "From reply to provider",
        "From storing a reply to its acceptance, 99th percentile over five minutes.",
        "s",
        {"{{provider}}": "provider:parley_notifier_reply_to_provider_seconds:p99_5m"},
        bad_from=60,
    ),
    Panel(
        "Waiting replies",
        "By account.",
        "short",
        {"{{account}}": or_zero("max by (account) (parley_notifier_waiting_messages)")},
    ),
    Panel(
        "Accounts in trouble",
        "1 while a provider refuses an account, or a service cannot use its changed accounts file.",
        "short",
        {
            "{{provider}}/{{account}}": "max by (provider, account) (parley_notifier_account_paused)",
            "accounts file of {{service}}": "max by (service) (parley_accounts_refused)",
        },
        bad_from=1,
    ),
    Panel(
        "Retries and unknown fates",
        "Replies put back for another try; replies of which nobody knows.",
        "cps",
        {
            "put back {{provider}}": or_zero(rate("parley_notifier_send_retries_total", "provider")),
            "unknown {{provider}}": rate("parley_notifier_unknown_total", "provider"),
        },
    ),
    Panel(
        "Receipts",
        "What providers say of our replies, by what became of it.",
        "cps",
        {"{{outcome}}": rate("parley_notifier_receipts_total", "outcome")},
    ),
    Panel(
        "From webhook to stream",
        "99th percentile over five minutes, by channel.",
        "s",
        {"{{channel}}": "channel:parley_notifier_webhook_to_stream_seconds:p99_5m"},
        bad_from=2,
    ),
    Panel(
        "Streams resumed",
        "By where from; `reset` means that the client had to load anew.",
        "cps",
        {"{{source}}": or_zero(rate("parley_notifier_stream_resumes_total", "source"))},
    ),
    Panel(
        "Streams closed by us",
        "`slow` clients resume; `expired` ones need a new token.",
        "cps",
        {"{{reason}}": or_zero(rate("parley_notifier_stream_closed_total", "reason"))},
    ),
    Panel(
        "Requests to integrators",
        "Webhooks by what became of the event.",
        "reqps",
        {"{{outcome}}": or_zero(rate("parley_notifier_webhook_posts_total", "outcome"))},
    ),
    Panel(
        "Paused subscriptions and waiting events",
        "`requested` ones were paused by an admin.",
        "short",
        {
            "paused: {{reason}}": or_zero("max by (reason) (parley_notifier_webhooks_paused)"),
            "waiting events": "max(parley_notifier_webhook_waiting_events)",
        },
    ),
)

STAGES = (_INGEST, _IDENTITY, _CONVERSATION, _ROUTER, _NOTIFIER)
