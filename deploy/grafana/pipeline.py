"""The dashboard of operators: the pipeline stage by stage."""

from deploy.grafana.model import Dashboard, Panel, Row, Variable
from deploy.grafana.queries import or_zero, rate
from deploy.grafana.stages import STAGES

_ROUTES = 'service=~"$service",route!~".*/(livez|readyz|metrics)"'
_PROCESSES = "* on (job, instance) group_left () (count by (job, instance) (parley_service_ready) > bool 0)"

_EFFECTS = Row(
    "Effects on their way",
    [
        Panel(
            "Published",
            "Records acknowledged by all in-sync replicas, by topic.",
            "cps",
            {"{{topic}}": rate("parley_published_records_total", "topic")},
        ),
        Panel(
            "Publishes that failed",
            "By error.",
            "cps",
            {"{{error}}": or_zero(rate("parley_publish_failures_total", "error"))},
        ),
        Panel(
            "Age of outboxes",
            "The oldest change whose effects are not yet out.",
            "s",
            {"{{collection}}": "max by (collection) (parley_outbox_oldest_seconds)"},
            bad_from=30,
        ),
        Panel(
            "Records set aside",
            "Too large for the broker, since the process began.",
            "short",
            {"{{collection}}": "sum by (collection) (parley_outbox_set_aside_total)"},
            width=12,
            bad_from=1,
        ),
        Panel(
            "Failed rounds of loops",
            "By loop.",
            "cps",
            {"{{loop}}": or_zero(rate("parley_loop_failures_total", "loop"))},
            width=12,
        ),
    ],
)

_HTTP = Row(
    "HTTP and processes",
    [
        Panel(
            "Requests",
            "By service; probes and scrapes are left out.",
            "reqps",
            {"{{service}}": 'service:parley_http_requests:rate5m{service=~"$service"}'},
        ),
        Panel(
            "Time to answer, by route",
            "The ten slowest routes at the 95th percentile; a stream is timed to its first byte.",
            "s",
            {
                "{{method}} {{route}}": "topk(10, histogram_quantile(0.95, sum by (method, route, le) "
                f"(rate(parley_http_request_seconds_bucket{{{_ROUTES}}}[$__rate_interval]))))"
            },
        ),
        Panel(
            "Answers, by status",
            "By service and status.",
            "reqps",
            {
                "{{service}} {{status}}": rate(
                    "parley_http_request_seconds_count", "service", "status", where=_ROUTES
                )
            },
        ),
        Panel(
            "CPU",
            "Cores in use, by replica.",
            "short",
            {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total[$__rate_interval]) {_PROCESSES}"},
        ),
        Panel(
            "Memory",
            "Resident, by replica.",
            "bytes",
            {"{{job}} {{instance}}": f"process_resident_memory_bytes {_PROCESSES}"},
        ),
        Panel(
            "Ready",
            "1 when the last readiness probe found all well.",
            "short",
            {"{{service}} {{instance}}": 'parley_service_ready{service=~"$service"}'},
        ),
    ],
)

PIPELINE = Dashboard(
    uid="parley-pipeline",
    title="Parley pipeline",
    description="Stage by stage: throughput, times, batches, lag, retries, dead letters, effects, HTTP.",
    rows=[*STAGES, _EFFECTS, _HTTP],
    variables=[Variable("service", "service", "parley_service_ready")],
    links={"parley-overview": "Parley overview"},
)
