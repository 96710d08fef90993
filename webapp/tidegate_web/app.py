"""The Flask app: its parts, what every answer carries, and how errors leave it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog
from flask import Flask, Response, g, render_template, request
from redis import Redis
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from tidegate_web import api_description as openapi_views
from tidegate_web.api import views as api_views
from tidegate_web.api.bodies import MAX_BATCH_BYTES
from tidegate_web.api.bulk import WORKER
from tidegate_web.audit.recording import AuditSpool
from tidegate_web.auth import external, guard
from tidegate_web.auth import views as auth_views
from tidegate_web.auth.cookies import SessionCookie, tell_hsts
from tidegate_web.auth.parts import make_auth
from tidegate_web.auth.passwords import Passwords
from tidegate_web.auth.providers import make_providers
from tidegate_web.bulk.worker import BulkWorker
from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.events import connection
from tidegate_web.events.channels import EventLog
from tidegate_web.events.hub import Hub
from tidegate_web.health.probes import make_registry
from tidegate_web.internal import views as internal_views
from tidegate_web.live import views as live_views
from tidegate_web.pages import views as pages_views
from tidegate_web.projects.parts import make_projects
from tidegate_web.runs.parts import make_runs
from tidegate_web.services import Services
from tidegate_web.serving.client_address import PlainClientAddress
from tidegate_web.serving.compression import Compression
from tidegate_web.serving.draining import DrainUnread
from tidegate_web.serving.problem_response import problem_response
from tidegate_web.serving.request_metrics import RequestMetrics
from tidegate_web.serving.routing import add_converters
from tidegate_web.settings import WebSettings
from tidegate_web.shared.clock import Clock, SystemClock
from tidegate_web.shared.problems import Problem, postgres_away
from tidegate_web.store.engine import is_unavailable, make_engine

log = structlog.stdlib.get_logger(__name__)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def make_redis(settings: WebSettings) -> Redis:
    """The client of Redis that the settings name."""
    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    return connection.connect(settings.redis_url, password=password, ca_file=settings.ca_file)


def make_services(
    settings: WebSettings,
    *,
    name: str,
    cluster: Cluster | None = None,
    clock: Clock | None = None,
    hasher: Passwords | None = None,
    for_requests: bool = False,
) -> Services:
    """A process's connections. Nothing is connected to before it is used. ``for_requests``: a process that people wait for."""
    redis = make_redis(settings)
    clock = clock or SystemClock()
    cluster = cluster or Cluster.connect(settings.kubeconfig)
    engine = make_engine(settings, name=name, for_requests=for_requests)
    direct = make_engine(settings, name=name, direct=True) if settings.database_direct_url else engine
    events = EventLog(redis=redis, history=settings.stream_history)
    return Services(
        settings=settings,
        clock=clock,
        engine=engine,
        direct=direct,
        redis=redis,
        cluster=cluster,
        events=events,
        hub=Hub(redis=redis, room=settings.stream_queue),
        audit=AuditSpool(redis),
        auth=make_auth(settings, engine=engine, redis=redis, cluster=cluster, clock=clock, hasher=hasher),
        projects=make_projects(settings, engine=engine, cluster=cluster),
        runs=make_runs(settings, engine=engine, redis=redis, cluster=cluster, events=events),
    )


def create_app(made: Services, *, web: bool = True, live: bool = True, metrics: RequestMetrics | None = None) -> Flask:
    """The app with the pages and the API (``web``), the streams (``live``), or both."""
    settings = made.settings
    app = Flask("tidegate_web", template_folder="pages/templates", static_folder="pages/static")
    app.config.update(
        SECRET_KEY=settings.require_secret_key(),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=settings.session_max_seconds),
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_HEADERS=["X-CSRFToken", "X-CSRF-Token"],
        WTF_CSRF_SSL_STRICT=False,  # the token and SameSite do it; Referer is often stripped
        MAX_CONTENT_LENGTH=MAX_BATCH_BYTES,
        SEND_FILE_MAX_AGE_DEFAULT=86400,
    )
    app.session_interface = SessionCookie(settings)
    app.wsgi_app = PlainClientAddress(app.wsgi_app)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    if web:
        app.after_request(Compression().compress)  # registered first, so it is the last to see an answer
    _install(app, made, metrics)
    app.extensions[external.EXTENSION] = found = make_providers(app, settings)
    made.auth.group_check.use(found)
    if web:
        app.register_blueprint(auth_views.blueprint())
        app.register_blueprint(pages_views.blueprint())
        app.register_blueprint(api_views.blueprint())
        app.register_blueprint(openapi_views.blueprint())
        app.extensions[WORKER] = BulkWorker(made)
    if live:
        app.register_blueprint(live_views.blueprint())
    app.after_request(partial(tell_hsts, settings))
    return app


def create_internal_app(made: Services, *, metrics: RequestMetrics | None = None) -> Flask:
    """The app that pods of runs call. It has no sessions and no pages, and believes no proxy's headers: pods connect to it
    directly, so the peer's address is the pod's."""
    app = Flask("tidegate_web_internal", static_folder=None)
    app.config.update(SECRET_KEY=made.settings.require_secret_key(), MAX_CONTENT_LENGTH=MAX_BATCH_BYTES)
    _install(app, made, metrics)
    app.register_blueprint(internal_views.blueprint())
    return app


def _install(app: Flask, made: Services, metrics: RequestMetrics | None) -> None:
    """What both apps have in common."""
    app.wsgi_app = DrainUnread(app.wsgi_app)  # type: ignore[method-assign]
    add_converters(app)
    made.attach(app)
    (metrics or RequestMetrics(make_registry())).observe(app)
    guard.install(app)
    app.register_error_handler(Exception, _answer_error)
    app.after_request(_harden)


def _harden(response: Response) -> Response:
    headers: dict[str, str] = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClusterError):
        return from_cluster(error)
    if is_unavailable(error):
        log.warning("Postgres can't be asked", reason=str(error).partition("\n")[0])
        return postgres_away()
    if isinstance(error, HTTPException):
        headers = {}
        allowed: Callable[[], list[str]] | None = getattr(error, "get_headers", None)
        if error.code == 405 and allowed is not None:
            headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        return Problem(error.code or 500, error.description or "", headers=headers)
    log.error("a request failed", exc_info=error, request_id=g.get("request_id"))
    return Problem(500, f"Something went wrong here. Request {g.get('request_id')}.")


def _answer_error(error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return Response(status=error.code, headers=list(error.get_headers()))
    problem = _problem_of(error)
    if guard.wants_json():
        return problem_response(problem)
    page = render_template("error.html", problem=problem)
    response = Response(page, status=problem.status, content_type="text/html; charset=utf-8")
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response
