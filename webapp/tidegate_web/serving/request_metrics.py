"""What is counted and logged of each request, by route: one set of series a process, whatever apps it serves."""

import secrets
import time
from typing import Final

import structlog
from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram

log = structlog.stdlib.get_logger(__name__)

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""Any other method: a client may send whatever word it likes."""


class RequestMetrics:
    """The series of a process's requests, and the log line of each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tidegate_web_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "tidegate_web_request_seconds",
            "Time to answer, without streams and waits for a run's end.",
            ["route"],
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )

    def observe(self, app: Flask) -> None:
        """Count and log the requests of this app."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def _begin(self) -> None:
        g.began = time.perf_counter()
        g.request_id = request.headers.get("X-Request-Id", "")[:64] or secrets.token_hex(8)

    def _end(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        took = time.perf_counter() - g.get("began", time.perf_counter())
        method = request.method if request.method in METHODS else OTHER
        self._requests.labels(method, route, str(response.status_code)).inc()
        if not response.is_streamed and request.blueprint != "live":
            self._seconds.labels(route).observe(took)
        if request.endpoint != "static":
            log.info(
                "request",
                method=request.method,
                route=route,
                # A link's token is a secret while it is good.
                path=route if "token" in (request.view_args or {}) else request.path,
                status=response.status_code,
                ms=round(took * 1000, 1),
                request_id=g.get("request_id"),
            )
        return response
