"""``/healthz``, ``/readyz`` and ``/metrics`` on a port of their own, the same in every process.

Ready means that this process can answer, not that what it depends on can; the one exception is a Postgres that answers
with a schema older than this program: a process that served on it would fail at every turn.
"""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import Engine
from tidegate_api.listening import bound_sockets

from tidegate_web.store import schema

Check = Callable[[], str | None]
"""Returns why the process isn't well, None when it is."""


def make_registry() -> CollectorRegistry:
    """A process's metrics, with those about the process itself."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series of each counter, and say what Prometheus finds out itself
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class SchemaCheck:
    """Not ready while Postgres answers with an older schema. Looks at most every few seconds."""

    def __init__(self, engine: Engine, *, seconds: float = 2) -> None:
        self._engine = engine
        self._seconds = seconds
        self._until = 0.0
        self._said: str | None = None

    def __call__(self) -> str | None:
        if time.monotonic() < self._until:
            return self._said
        outdated = schema.is_outdated(self._engine)
        self._said = "Postgres has an older schema; run 'tidegate-web migrate'" if outdated else None
        self._until = time.monotonic() + self._seconds
        return self._said


class ProbeServer:
    """Answers the probes from a thread of its own."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        healthy: Check = lambda: None,
        ready: Check = lambda: None,
    ) -> None:
        def answer(path: str) -> tuple[int, str, bytes]:
            if path == "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
            if path in ("/healthz", "/readyz"):
                wrong = (healthy if path == "/healthz" else ready)()
                return (200, "text/plain", b"ok\n") if wrong is None else (503, "text/plain", f"{wrong}\n".encode())
            return 404, "text/plain", b"not found\n"

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                status, kind, body = answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._servers = [_served(bound, Handler) for bound in bound_sockets(host, port)]
        self.port = int(self._servers[0].server_address[1])
        self._threads = [
            threading.Thread(target=server.serve_forever, name="probes", daemon=True) for server in self._servers
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            if thread.is_alive():
                server.shutdown()
            server.server_close()


def _served(bound: socket.socket, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(bound.getsockname()[:2], handler, bind_and_activate=False)
    server.socket.close()
    server.socket = bound
    server.server_address = bound.getsockname()
    server.daemon_threads = True
    server.server_activate()
    return server
