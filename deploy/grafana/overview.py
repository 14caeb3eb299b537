"""The dashboard of leads and operators: what comes in, who waits, what goes out, what is wrong."""

from deploy.grafana.model import Dashboard, Panel, Row, Variable
from deploy.grafana.queries import increase, or_zero, quantiles, rate

_POOL = 'pool=~"$pool"'
_IN_LINE = f"max by (pool, inbox, channel_class) (parley_router_queue_conversations{{{_POOL}}})"

_NOW = Row(
    "Now",
    [
        Panel(
            "Alerts",
            "Alerts that fire. What each means and what to do: docs/runbook.md.",
            "short",
            {"": or_zero('count(ALERTS{alertstate="firing",alertname=~"Parley.*"})')},
            "stat",
            3,
            4,
            bad_from=1,
        ),
        Panel(
            "Replicas not ready",
            "Replicas whose last readiness probe failed; /readyz says why.",
            "short",
            {"": or_zero("count(parley_service_ready == 0)")},
            "stat",
            3,
            4,
            bad_from=1,
        ),
        Panel(
            "Waiting for an Agent",
            "Conversations in line, all Inboxes.",
            "short",
            {"": or_zero(f"sum({_IN_LINE})")},
            "stat",
            3,
            4,
        ),
        Panel(
            "Oldest wait",
            "How long the first of those in line has waited. The aim is 15 minutes.",
            "s",
            {"": f"max(parley_router_oldest_wait_seconds{{{_POOL}}})"},
            "stat",
            3,
            4,
            bad_from=900,
        ),
        Panel(
            "Agents signed on",
            "Signed on and not away.",
            "short",
            {"": f"sum(max by (pool) (parley_router_agents_signed_on{{{_POOL}}}))"},
            "stat",
            3,
            4,
        ),
        Panel(
            "Capacity used",
            "What Agents hold, offers included, of the room of those who are signed on. Above 1 is possible: "
            "who is away keeps what they have.",
            "percentunit",
            {
                "": f"sum(max by (pool) (parley_router_capacity_used_conversations{{{_POOL}}})) "
                f"/ (sum(max by (pool) (parley_router_capacity_conversations{{{_POOL}}})) > 0)"
            },
            "stat",
            3,
            4,
            bad_from=1,
        ),
        Panel(
            "Replies waiting",
            "Replies that no provider has taken yet.",
            "short",
            {"": or_zero("sum(max by (account) (parley_notifier_waiting_messages))")},
            "stat",
            3,
            4,
        ),
        Panel(
            "Records behind",
            "Records in Kafka that are not handled yet, all consumers.",
            "short",
            {"": "sum(group_topic:parley_consumer_lag_records:sum)"},
            "stat",
            3,
            4,
        ),
        Panel(
            "Alerts that fire",
            "By name and severity, 1 for each thing that is wrong. Empty when all is well.",
            "short",
            {"": 'sum by (severity, alertname) (ALERTS{alertstate="firing",alertname=~"Parley.*"})'},
            "table",
            24,
            5,
        ),
    ],
)

_CUSTOMERS = Row(
    "Customers",
    [
        Panel(
            "Messages in",
            "Items of webhooks and chats that Kafka has, by provider; repeats of a provider's count again.",
            "cps",
            {
                "{{provider}}": rate(
                    "parley_ingest_published_items_total", "provider", where='topic="messages.inbound"'
                )
            },
        ),
        Panel(
            "Replies out",
            "Requests to providers by what came of them; web chat needs none.",
            "reqps",
            {"{{outcome}}": rate("parley_notifier_sends_total", "outcome")},
        ),
        Panel(
            "Refused webhooks",
            "Not taken, by reason. `unavailable` is our fault, `forged` a wrong secret or an attempt.",
            "reqps",
            {"{{reason}}": rate("parley_ingest_refused_webhooks_total", "reason")},
        ),
        Panel(
            "Conversations",
            "Those that are not closed, by status.",
            "short",
            {"{{status}}": "max by (status) (parley_conversation_current_conversations)"},
        ),
        Panel(
            "From webhook to timeline",
            "All channels; until the message can be read.",
            "s",
            quantiles("parley_conversation_webhook_to_timeline_seconds"),
            bad_from=1,
        ),
        Panel(
            "From webhook to Agent",
            "From the Customer's message that asked for an Agent to the assignment.",
            "s",
            quantiles("parley_conversation_webhook_to_agent_seconds"),
            bad_from=600,
        ),
    ],
)

_AGENTS = Row(
    "Agents and queues",
    [
        Panel(
            "In line",
            "Conversations that wait for an Agent, by Inbox and class; offers are not in line.",
            "short",
            {"{{inbox}} {{channel_class}}": or_zero(_IN_LINE)},
        ),
        Panel(
            "Oldest wait",
            "Age of the oldest request in line, by pool.",
            "s",
            {"{{pool}}": f"max by (pool) (parley_router_oldest_wait_seconds{{{_POOL}}})"},
            bad_from=900,
        ),
        Panel(
            "Wait of those who got an Agent",
            "From request to grant.",
            "s",
            quantiles("parley_router_wait_seconds", where=_POOL),
        ),
        Panel(
            "Capacity",
            "Room of the Agents who are signed on, and what all Agents hold.",
            "short",
            {
                "room {{pool}}": f"max by (pool) (parley_router_capacity_conversations{{{_POOL}}})",
                "used {{pool}}": f"max by (pool) (parley_router_capacity_used_conversations{{{_POOL}}})",
            },
        ),
        Panel(
            "Grants",
            "Conversations given to an Agent: pushed by the router, pulled, taken, transferred.",
            "cps",
            {"{{reason}}": rate("parley_router_grants_total", "reason", where=_POOL)},
        ),
        Panel(
            "Offers not taken",
            "Offers that ended without a grant, by how.",
            "short",
            {
                "{{outcome}}": or_zero(
                    rate("parley_router_offers_ended_total", "outcome", where=_POOL),
                )
            },
        ),
    ],
)

_WRONG = Row(
    "What went wrong",
    [
        Panel(
            "In the time shown",
            "Each of these wants a look: docs/runbook.md says where.",
            "short",
            {
                "webhooks we could not take": or_zero(
                    increase("parley_ingest_refused_webhooks_total", where='reason="unavailable"')
                ),
                "webhooks we could not read": or_zero(increase("parley_ingest_quarantined_items_total")),
                "records given up": or_zero(
                    increase("parley_handled_records_total", where='outcome="dead_lettered"')
                ),
                "replies refused": or_zero(
                    increase("parley_notifier_sends_total", where='outcome="refused"')
                ),
                "replies of unknown fate": or_zero(increase("parley_notifier_unknown_total")),
                "Customers in conflict": or_zero(increase("parley_identity_conflicts_total")),
            },
            "stat",
            24,
            4,
            bad_from=0.5,
        ),
        Panel(
            "Requests answered 5xx",
            "Share of each service's requests; probes and what is not built yet (501) do not count.",
            "percentunit",
            {"{{service}}": "service:parley_http_failures:ratio_rate5m"},
            bad_from=0.02,
        ),
        Panel(
            "Records behind",
            "Lag of each consumer.",
            "short",
            {"{{group}} {{topic}}": "group_topic:parley_consumer_lag_records:sum"},
        ),
        Panel(
            "Live streams",
            "Open streams of Agents and visitors.",
            "short",
            {"{{kind}}": or_zero("sum by (kind) (parley_notifier_stream_clients)")},
        ),
    ],
)

OVERVIEW = Dashboard(
    uid="parley-overview",
    title="Parley overview",
    description="What comes in, who waits, what goes out, what is wrong.",
    rows=[_NOW, _CUSTOMERS, _AGENTS, _WRONG],
    variables=[Variable("pool", "pool", "parley_router_agents_signed_on")],
    links={"parley-pipeline": "Parley pipeline"},
)
