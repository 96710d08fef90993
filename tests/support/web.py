"""The web app for tests: its processes' rights, an app with a signed-in client, a mirror in a thread, real runs."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import urllib3
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Engine, text
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.api.bulk import WORKER
from tidegate_web.app import create_app, create_internal_app, make_services
from tidegate_web.auth.passwords import Passwords
from tidegate_web.mirror.process import Mirror
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.services import Services
from tidegate_web.serving.request_metrics import RequestMetrics
from tidegate_web.settings import WebSettings
from tidegate_web.shared.permissions import Role
from tidegate_web.store.queries import members, users
from werkzeug.serving import make_server

from support import fork_server
from support.callers import SignedIn, WithKey, csrf_token
from support.environment import coverage_variables
from support.routes import compile_once
from support.runs import RunMaker, now
from support.servers import Postgres, Redis, free_port, wait_until

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery staple"
Json = dict[str, Any]


@dataclass(kw_only=True)
class Stack:
    """The servers, and a project and a database in them."""

    postgres: Postgres
    redis: Redis
    plane: ControlPlane
    project: str
    database_url: str
    redis_url: str
    cleanup: ExitStack
    forks: bool = True
    """Whether processes start as forks; a benchmark measures those that don't."""
    runs: RunMaker = field(init=False)

    def __post_init__(self) -> None:
        self.runs = RunMaker(self.plane, self.project)
        self.runs.make_project()

    def settings(self, actor: str, **changes: Any) -> WebSettings:
        values: Json = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "secret_key": "k" * 40,
            "admin_email": EMAIL,
            "admin_password": PASSWORD,
            "kubeconfig": self.plane.kubeconfig(actor),
            "sweep_seconds": 0.1,
            "stream_heartbeat_seconds": 0.5,
            "host": "127.0.0.1",
            "database_pool_size": 10,
        }
        return WebSettings(**(values | changes))

    def services(self, actor: str, *, hasher: Passwords | None = None, **changes: Any) -> Services:
        hasher = hasher or Passwords(hasher=cheap_hasher())
        made = make_services(self.settings(actor, **changes), name=f"test-{actor}", hasher=hasher)
        self.cleanup.callback(made.engine.dispose)
        self.cleanup.callback(made.direct.dispose)
        self.cleanup.callback(made.redis.close)
        self.cleanup.callback(made.hub.stop)
        self.cleanup.callback(made.runs.schemas.close)
        return made

    def parts(self, actor: str, **changes: Any) -> "Parts":
        made = self.services(actor, **changes)
        parts = make_parts(made, project=self.project)
        self.cleanup.callback(parts.app.extensions[WORKER].stop)
        return parts

    def mirror(self, actor: str = "mirror", **changes: Any) -> "MirrorThread":
        retry_seconds = float(changes.pop("retry_seconds", 300))
        made = self.services(actor, **({"namespaces": [self.project]} | changes))
        thread = MirrorThread(made, retry_seconds=retry_seconds)
        thread.start()
        self.cleanup.callback(thread.end)
        return thread

    def environment(self, actor: str, **changes: Any) -> dict[str, str]:
        """Settings as a process of its own gets them."""
        settings = self.settings(actor, **changes)
        environment = {"PATH": "/usr/bin:/bin"} | coverage_variables()
        for name in settings.model_fields_set:
            value = getattr(settings, name)
            if hasattr(value, "get_secret_value"):
                value = value.get_secret_value()
            environment[f"TIDEGATE_{name.upper()}"] = ",".join(value) if isinstance(value, list) else str(value)
        return environment

    @contextmanager
    def process(
        self,
        command: str,
        *,
        actor: str,
        log: Path,
        checkout: Path | None = None,
        program: Sequence[str] | None = None,
        **changes: Any,
    ) -> Iterator["Process"]:
        """One of the program's processes, ready; stopped with SIGTERM at the end. ``checkout``: with another's code; ``program``:
        Python's arguments, where it isn't the command alone."""
        port, internal_port, probes = free_port(), free_port(), free_port()
        ports = {"port": port, "internal_port": internal_port, "metrics_port": probes}
        environment = self.environment(actor, **(ports | changes))
        if checkout is not None:
            environment["PYTHONPATH"] = f"{checkout / 'webapp'}:{checkout / 'crds'}"
        with log.open("wb") as output:
            imported = fork_server.STREAMS if command in ("live", "all") else fork_server.WEB
            started = fork_server.start(
                imported if self.forks and checkout is None else None,
                program or ("-m", "tidegate_web", command),
                env=environment,
                stdout=output,
                stderr=output,
            )
        process = Process(process=started, port=port, internal_port=internal_port, probes=probes, log=log)
        try:
            process.wait_ready()
            yield process
        finally:
            started.terminate()
            try:
                started.wait(timeout=120)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
                raise


@dataclass(kw_only=True)
class Process:
    """A running process of the web app."""

    process: fork_server.Program
    port: int
    internal_port: int
    probes: int
    log: Path

    def probe(self, path: str) -> tuple[int, str]:
        try:
            with urllib3.PoolManager() as pool:
                answer = pool.request("GET", f"http://127.0.0.1:{self.probes}{path}", retries=False, timeout=10)
                return answer.status, answer.data.decode()
        except (urllib3.exceptions.HTTPError, OSError):
            return 0, ""

    def wait_ready(self) -> None:
        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
            return self.probe("/readyz")[0] == 200

        wait_until(ready, what="the process")


@dataclass(kw_only=True)
class Parts:
    """The app and what it works with."""

    app: Flask
    internal: Flask
    """What pods call, on a port of its own where it is served."""
    services: Services
    project: str

    @property
    def engine(self) -> Engine:
        return self.services.engine

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def pods(self) -> FlaskClient:
        """A client of what pods call."""
        return self.internal.test_client()

    def sign_in(self, *, email: str = EMAIL, password: str = PASSWORD) -> "SignedIn":
        client = self.client()
        answer = client.post(
            "/login", data={"email": email, "password": password, "csrf_token": csrf_token(client.get("/login"))}
        )
        assert answer.status_code == 303, answer.text
        # An error is the cheapest page with the token in it.
        return SignedIn(client=client, csrf=csrf_token(client.get("/no-such-page")), project=self.project)

    def member(self, role: str | None, *, email: str | None = None) -> "SignedIn":
        """A user with this role in the project, None for none, signed in."""
        email = email or f"{role or 'nobody'}@example.com"
        with self.engine.begin() as connection:
            user_id = users.create(
                connection, email=email, name=email, password_hash=cheap_hash(), instance_admin=False
            )
            assert user_id is not None
            if (known := Role.named(role)) is not None:
                members.put(connection, project=self.project, user_id=user_id, role=int(known), by="tests")
        return self.sign_in(email=email)

    def key(self, role: str, *, tasks: list[str] | None = None, **fields: Any) -> "WithKey":
        """A pipeline with a new API key of the project."""
        body = {"name": "pipeline", "role": role, "tasks": tasks} | fields
        answer = self.sign_in().post("api-keys", body)
        assert answer.status_code == 201, answer.text
        made: Any = answer.json
        return WithKey(client=self.client(), key=made["key"], id=made["id"], project=self.project)

    @contextmanager
    def served(self, app: Flask | None = None) -> Iterator[str]:
        """The app, or the one that pods call, behind a real socket."""
        server = make_server("127.0.0.1", 0, app or self.app, threaded=True)
        server.daemon_threads = True  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.services.hub.stop()
            server.shutdown()
            thread.join()
            server.server_close()

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))


def make_parts(made: Services, *, project: str) -> Parts:
    """Both apps of these services."""
    compile_once()
    metrics = RequestMetrics(CollectorRegistry())
    app = create_app(made, metrics=metrics)
    app.jinja_env.bytecode_cache = compiled_pages()
    return Parts(
        app=app,
        internal=create_internal_app(made, metrics=metrics),
        services=made,
        project=project,
    )


class CompiledPages(BytecodeCache):
    """Templates are compiled once a session, not once an app."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if (kept := self._kept.get(bucket.key)) is not None:
            bucket.bytecode_from_string(kept)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


@cache
def compiled_pages() -> CompiledPages:
    """Those of this session."""
    return CompiledPages()


def cheap_hasher() -> PasswordHasher:
    """argon2id by parameters that cost next to nothing, for the many tests that only sign in."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@cache
def cheap_hash() -> str:
    """PASSWORD's hash."""
    return cheap_hasher().hash(PASSWORD)


class MirrorThread(threading.Thread):
    """A mirror in this process."""

    def __init__(self, made: Services, *, retry_seconds: float = 300) -> None:
        super().__init__(daemon=True)
        self._registry = CollectorRegistry()
        self._made = made
        self._mirror = Mirror(made, registry=self._registry, patience_seconds=1, retry_seconds=retry_seconds)

    def set_aside(self, kind: str) -> float:
        """How many objects of a kind are set aside, as the metric says."""
        return self._registry.get_sample_value("tidegate_set_aside_objects", {"kind": kind}) or 0.0

    def metric(self, name: str, **labels: str) -> float | None:
        """A sample of the mirror's own metrics."""
        return self._registry.get_sample_value(name, labels)

    def run(self) -> None:
        self._mirror.run()

    def end(self) -> None:
        self._mirror.stop()
        self.join(timeout=20)
        assert not self.is_alive(), "the mirror didn't stop"
        self._made.direct.dispose()
        self._made.engine.dispose()  # a test may start one after another


def make_quarantine(*, retry_seconds: float = 300) -> Quarantine:
    """An empty one."""
    gauge = Gauge("tidegate_set_aside_objects", "Objects that are set aside.", ["kind"], registry=CollectorRegistry())
    return Quarantine(gauge=gauge, retry_seconds=retry_seconds)


def row(parts: Parts, name: str) -> Any:
    """The row of the newest run of that name, None without one."""
    found = parts.rows("SELECT * FROM runs WHERE name = :name ORDER BY deleted_at NULLS FIRST, created DESC", name=name)
    return found[0] if found else None


def until(parts: Parts, name: str, condition: Callable[[Any], bool]) -> Any:
    """Its row, once the condition holds."""

    def holds() -> bool:
        found = row(parts, name)
        return found is not None and condition(found)

    wait_until(holds, what=f"run {name} in Postgres")
    return row(parts, name)


def finish(stack: Stack, name: str, *, ttl: int = 86400, phase: str = "Succeeded", attempts: Any = ()) -> None:
    """The end of a run, as the operator would write it."""
    stack.runs.status(
        name, phase=phase, startedAt=now(), finishedAt=now(), ttlSecondsAfterFinished=ttl, attempts=list(attempts)
    )


class Events:
    """An open stream of Server-Sent Events."""

    def __init__(self, url: str, *, cookie: str, last: str | None = None) -> None:
        headers = {"Cookie": cookie, "Connection": "close"} | ({"Last-Event-ID": last} if last else {})
        self._pool = urllib3.PoolManager()
        self._response = self._pool.request(
            "GET", url, headers=headers, preload_content=False, timeout=120, retries=False
        )
        self.status = self._response.status
        self.content_type = self._response.headers.get("Content-Type", "")
        self.comments = 0
        self._rest = b""

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._pool.clear()

    def next(self) -> tuple[str, str, Json]:
        """(event, id, data) of the next event; EOFError when the stream has ended."""
        while True:
            while b"\n\n" not in self._rest:
                data = self._response.read1(65536)
                if not data:
                    raise EOFError
                self._rest += data
            block, _, self._rest = self._rest.partition(b"\n\n")
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                if line.startswith(":"):
                    self.comments += 1
                else:
                    name, _, value = line.partition(": ")
                    fields[name] = value
            if "data" in fields:
                return fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
