"""Structured logs: one JSON object a line, also for what kopf and aiohttp say through the standard library.

Our own lines go straight to standard error: the standard library's way there, with a record, a look for the caller and
three locks, would be a twentieth of what a run costs.
"""

import logging
import sys

import structlog
from structlog.typing import Processor


class NamedWriter(structlog.WriteLogger):
    """Writes lines to standard error, and knows whose they are."""

    def __init__(self, name: str = "") -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure_logs(*, level: str, log_format: str) -> None:
    """Send everything that is logged to standard error, as JSON or for a console."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if log_format == "console" else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # kopf says at info what our own records say better.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=NamedWriter,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
