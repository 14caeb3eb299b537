"""Structured logs: one JSON object a line, with correlation ids and without personal data."""

import logging
import sys
from typing import TextIO

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger("parley")
bind = structlog.contextvars.bind_contextvars
bound = structlog.contextvars.bound_contextvars

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
    ),
    lambda _logger, _name, event: _without_values(event),
)


def _without_values(event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Drop exceptions' messages: they may quote input. Class and place say enough."""
    for trace in event.get("exception", ()) if isinstance(event.get("exception"), list) else ():
        trace.pop("exc_value", None)
        trace.pop("exc_notes", None)
        trace.pop("syntax_error", None)
    return event


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send our own and the libraries' logs to `stream` (standard error) as JSON lines."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=list(_SHARED),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("parley").setLevel(level.upper())
    # aiokafka reports every reconnect as an error while a broker is away; readiness and metrics say it once
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
