"""Metrics of conversation, each declared once."""

from prometheus_client import Counter, Gauge, Histogram

TO_TIMELINE_SECONDS = Histogram(
    "parley_conversation_webhook_to_timeline_seconds",
    "From a webhook's receipt to its message on the timeline",
    ["channel"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600),
)
TO_AGENT_SECONDS = Histogram(
    "parley_conversation_webhook_to_agent_seconds",
    "From the Customer's message that asked for an Agent to the assignment",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600, 3600),
)
CURRENT = Gauge(
    "parley_conversation_current_conversations", "Conversations that are not closed, by status", ["status"]
)
TIMERS = Counter("parley_conversation_timers_total", "Threads changed by a timer")
COMMANDS = Counter("parley_conversation_commands_total", "Commands of Agents and leads", ["command"])
