"""How the web processes serve: gunicorn, set up in code, with one worker process.

One, because its metrics, its Redis subscription and its probes are then those of the pod; more load is answered by
more replicas. Threads for the pages and the API; gevent for the streams, which wait and hold nothing else.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from tidegate_api.listening import bound_sockets

from tidegate_web.api.bulk import WORKER
from tidegate_web.app import create_app, create_internal_app, make_services
from tidegate_web.health.probes import ProbeServer, SchemaCheck, make_registry
from tidegate_web.health.store_metrics import StoreMetrics
from tidegate_web.live.stream_metrics import count_streams
from tidegate_web.serving.garbage_collection import leave_out_what_is_there
from tidegate_web.serving.request_metrics import RequestMetrics
from tidegate_web.serving.tls_files import TlsFiles
from tidegate_web.settings import WebSettings
from tidegate_web.shared.json_types import JsonObject

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


_SERVING = "tidegate_web.serving"
WORKERS = (
    ("gthread", "gevent"),
    (f"{_SERVING}.tls_thread_worker.TlsThreadWorker", f"{_SERVING}.tls_gevent_worker.TlsGeventWorker"),
)
"""gunicorn's workers without TLS and with it: of pages alone, and with streams."""


class GunicornLogger(Logger):  # type: ignore[misc]
    """Leaves gunicorn's messages to the process's own log."""

    def setup(self, cfg: object) -> None:
        del cfg
        self.error_log.propagate = True
        self.error_log.handlers[:] = []
        self.access_log.propagate = False
        logging.getLogger("gunicorn").handlers[:] = []


class ByPort:
    """One WSGI app for two: what pods call is answered on a port of its own, and nowhere else.

    It looks at the port of the listener. It stands in front of everything that believes a header, such as ``ProxyFix``.
    """

    def __init__(self, public: Flask, internal: Flask | None, *, internal_port: int) -> None:
        self._public = public
        self._internal = internal
        self._internal_port = str(internal_port)
        self.extensions = public.extensions

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        app = self._public
        if self._internal is not None and environ["SERVER_PORT"] == self._internal_port:
            app = self._internal
        return app(environ, start_response)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings and none of its own files or arguments."""

    def __init__(
        self, load: Callable[[], ByPort], options: JsonObject, *, internal_tls: TlsFiles | None, internal_port: int
    ) -> None:
        self._load = load
        self.internal_tls, self.internal_port = internal_tls, internal_port
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> ByPort:
        return self._load()


def serve(settings: WebSettings, *, web: bool, live: bool, name: str) -> None:
    """Serve until stopped; SIGTERM lets what has begun be finished."""
    settings.require_secret_key()  # before anything is forked
    tls = TlsFiles(settings.internal_tls_folder) if web and settings.internal_tls_folder is not None else None

    def load() -> ByPort:
        made = make_services(settings, name=name, for_requests=True)
        registry = make_registry()
        metrics = RequestMetrics(registry)
        stores = StoreMetrics(registry=registry, engine=made.engine, redis=made.redis)
        app = create_app(made, web=web, live=live, metrics=metrics)
        internal = create_internal_app(made, metrics=metrics) if web else None
        if live:
            made.hub.start()
            count_streams(made.hub, registry)
        probes = ProbeServer(
            host=settings.host,
            port=settings.metrics_port,
            registry=registry,
            ready=SchemaCheck(made.engine),
        )
        probes.start()
        stores.start()
        app.extensions["tidegate.stop"] = [made.hub.stop]
        app.extensions["tidegate.exit"] = [made.runs.progress.stop]
        if web:
            # Others may have left something to do.
            app.extensions[WORKER].wake()
            app.extensions["tidegate.stop"] += [app.extensions[WORKER].stop, made.runs.schemas.close]
        return ByPort(app, internal, internal_port=settings.internal_port)

    def post_worker_init(worker: Any) -> None:
        leave_out_what_is_there()

        # A worker that is stopped waits for its requests to end; streams only end when they are stopped.
        def end_streams() -> None:
            while worker.alive:
                time.sleep(0.3)
            for stop in worker.wsgi.extensions["tidegate.stop"]:
                stop()

        threading.Thread(target=end_streams, name="end of streams", daemon=True).start()

    def worker_exit(server: Any, worker: Any) -> None:
        # Its requests have ended: what they left to be written later is written now.
        del server
        for stop in worker.wsgi.extensions["tidegate.exit"] if worker.wsgi is not None else ():
            stop()

    ports = (settings.port, *((settings.internal_port,) if web else ()))
    options: JsonObject = {
        # gunicorn would open a socket for both families at once.
        "bind": [f"fd://{bound.detach()}" for port in ports for bound in bound_sockets(settings.host, port)],
        "workers": 1,
        # By name: gevent is imported where it is used alone.
        "worker_class": WORKERS[tls is not None][live],
        "threads": settings.threads,
        "worker_connections": 10_000,
        "graceful_timeout": settings.shutdown_seconds,
        "timeout": 60,
        # With gevent an idle connection holds up the end of the process.
        "keepalive": 5 if live else 75,
        "limit_request_field_size": 16_384,
        "logger_class": GunicornLogger,
        "control_socket_disable": True,
        "proc_name": f"tidegate-{name}",
        "post_worker_init": post_worker_init,
        "worker_exit": worker_exit,
        "forwarded_allow_ips": "*" if settings.trusted_proxies else "127.0.0.1,::1",
    }
    Server(load, options, internal_tls=tls, internal_port=settings.internal_port).run()
