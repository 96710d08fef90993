"""How long the web app takes over a long history: the list of runs by each filter, the page of a run, the graph
around one, the overview, and each other page that counts or lists runs.

A million archived runs are made by SQL in a Postgres of its own, with its defaults; the app answers in this process, so
that what is measured is the server's own time: sign-in, queries, rendering. The CPU of it, ours and Postgres's, is reported
beside it: on a machine that does other things too, only that says something.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from support.callers import SignedIn
from support.history import fill, fill_graph
from support.servers import Postgres, Redis, ensure_servers, free_port
from support.web import EMAIL, PASSWORD, Parts, make_parts, make_quarantine
from tidegate_web.app import make_services
from tidegate_web.auth.admin import create_admin
from tidegate_web.mirror.rollup import Rollup
from tidegate_web.runs.project_overview import RANGES
from tidegate_web.serving import json_logs
from tidegate_web.serving.garbage_collection import leave_out_what_is_there
from tidegate_web.settings import WebSettings
from tidegate_web.store import schema

from .figures import ProcessView
from .load import BenchError

PROJECT: Final = "history"
LIST_TARGET_MS: Final = 50.0
RUN_TARGET_MS: Final = 30.0
PAGE_TARGET_MS: Final = 100.0
GRAPH_TARGET_MS: Final = 300.0
GRAPH_RUNS: Final = 2000
GRAPH_WIDE: Final = 40
WARM_UP: Final = 5

# Each draws one of many: the same question again would only measure the cache.
LISTS: Final[dict[str, Callable[[random.Random, int], str]]] = {
    "all": lambda _, __: "",
    "active": lambda _, __: "phase=Pending,Starting,Running,Retrying",
    "succeeded": lambda _, __: "phase=Succeeded",
    "failed (three phases)": lambda _, __: "phase=Failed,Expired,Skipped",
    "cancelled": lambda _, __: "phase=Cancelled",
    "task": lambda dice, _: f"task=task-{dice.randrange(40)}",
    "task, failed": lambda dice, _: f"task=task-{dice.randrange(40)}&phase=Failed,Expired,Skipped",
    "task, queue": lambda dice, _: f"task=task-{dice.randrange(40)}&queue=queue-{dice.randrange(7)}",
    "queue": lambda dice, _: f"queue=queue-{dice.randrange(7)}",
    "tag of a quarter": lambda _, __: "tag=nightly",
    "tag of one": lambda dice, runs: f"tag=customer-{dice.randrange(runs // 1000)}",
    "batch": lambda dice, runs: f"batch=batch-{dice.randrange(runs // 1000)}",
    "schedule": lambda dice, _: f"schedule=schedule-{dice.randrange(4) * 5}",
    "parent": lambda dice, runs: f"parent=parent-{dice.randrange(runs // 1000)}",
    "a month": lambda dice, _: (
        f"from=2026-{dice.randrange(1, 11):02}-01T00:00:00Z&to=2026-{dice.randrange(11, 13)}-01T00:00:00Z"
    ),
    "text in many names": lambda dice, _: f"q=task-{dice.randrange(40)}",
    "text in one name": lambda dice, _: f"q={dice.getrandbits(32):08x}",
    "text in many messages": lambda _, __: "q=such+file",
    "text in one message": lambda dice, _: f"q={dice.getrandbits(64):016x}",
    "text in a tag": lambda dice, runs: f"q=customer-{dice.randrange(runs // 1000)}",
    "text of two letters": lambda dice, _: f"q={dice.choice('ghjkmnpqvwxyz')}{dice.choice('ghjkmnpqvwxyz')}",
    "rare text, failed": lambda dice, _: f"q={dice.getrandbits(40):010x}&phase=Failed,Expired,Skipped",
}


# Of definitions that the cluster doesn't have: what their pages ask of the archive is the same.
PAGES: Final[dict[str, Callable[[random.Random, int], str]]] = {
    "page of a task": lambda dice, _: f"projects/{PROJECT}/tasks/task-{dice.randrange(40)}",
    "page of a queue": lambda dice, _: f"projects/{PROJECT}/queues/queue-{dice.randrange(7)}",
    "page of a schedule": lambda dice, _: f"projects/{PROJECT}/schedules/schedule-{dice.randrange(4) * 5}",
    "batches": lambda _, __: f"projects/{PROJECT}/batches",
    "audit": lambda _, __: f"projects/{PROJECT}/audit",
    "usage": lambda _, __: "usage",
}


@dataclass(frozen=True, kw_only=True)
class Answered:
    """How long one kind of question took, in milliseconds, and the CPU of one on average."""

    what: str
    p50: float
    p95: float
    most: float
    cpu: float
    postgres: float
    """What of it is Postgres's."""
    target: float

    @classmethod
    def of(cls, what: str, took: "Took", *, target: float) -> "Answered":
        ordered = sorted(took.times)
        at = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.95)]
        p50, p95, most = (round(value, 1) for value in (*at, ordered[-1]))
        return cls(
            what=what,
            p50=p50,
            p95=p95,
            most=most,
            cpu=round(took.cpu, 1),
            postgres=round(took.postgres, 1),
            target=target,
        )

    @property
    def reached(self) -> bool:
        return self.p95 <= self.target


@dataclass(frozen=True, kw_only=True)
class Took:
    """Each time, and the CPU of one on average."""

    times: list[float]
    cpu: float
    postgres: float
    """What of it is Postgres's."""


def measure(*, runs: int, requests: int, folder: Path, report: Callable[[str], None]) -> list[Answered]:
    """Fill and ask."""
    ensure_servers()
    with _app(folder) as parts:
        report(f"making {runs} runs")
        fill(parts.engine, project=PROJECT, runs=runs, now=datetime.now(UTC))
        me = parts.sign_in()
        dice = random.Random(7)  # noqa: S311 - the same questions each time
        found = []
        for what, draw in LISTS.items():
            report(what)
            paths = [f"/projects/{PROJECT}/runs?{draw(dice, runs)}" for _ in range(requests)]
            found.append(Answered.of(what, _times(parts, me, paths), target=LIST_TARGET_MS))
        report("pages of runs")
        rows = parts.rows("SELECT uid, name FROM run_keys TABLESAMPLE SYSTEM (1) LIMIT 10000")
        chosen = dice.sample(rows, min(len(rows), requests))
        for what, column in (("run page by uid", "uid"), ("run page by name", "name")):
            paths = [f"/projects/{PROJECT}/runs/{getattr(row, column)}" for row in chosen]
            found.append(Answered.of(what, _times(parts, me, paths), target=RUN_TARGET_MS))
        report(f"the graph of {GRAPH_RUNS} runs")
        first = fill_graph(
            parts.engine, project=PROJECT, runs=GRAPH_RUNS, wide=GRAPH_WIDE, now=parts.services.clock.now()
        )
        paths = [f"/projects/{PROJECT}/runs/{first}/graph"] * requests
        found.append(Answered.of(f"graph of {GRAPH_RUNS:,} runs", _times(parts, me, paths), target=GRAPH_TARGET_MS))
        report("counting for the overview")
        begin = time.monotonic()
        counter = Rollup(
            engine=parts.engine, clock=parts.services.clock, quarantine=make_quarantine(), stop=threading.Event()
        )
        counter.look()
        report(f"counted in {time.monotonic() - begin:.1f} s")
        for name in RANGES:
            paths = [f"/projects/{PROJECT}/overview?range={name}"] * requests
            found.append(Answered.of(f"overview, {name}", _times(parts, me, paths), target=PAGE_TARGET_MS))
        for what, draw in PAGES.items():
            report(what)
            paths = [f"/{draw(dice, runs)}" for _ in range(requests)]
            found.append(Answered.of(what, _times(parts, me, paths), target=PAGE_TARGET_MS))
        return found


def _times(parts: Parts, me: SignedIn, paths: list[str]) -> Took:
    for path in paths[:WARM_UP]:
        me.get(path)
    backends = [
        ProcessView(row.pid)
        for row in parts.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        )
    ]
    ours, postgres = time.process_time(), sum(backend.cpu_seconds for backend in backends)
    times = []
    for path in paths:
        began = time.perf_counter()
        status = me.get(path).status_code
        times.append((time.perf_counter() - began) * 1000)
        if status != 200:
            raise BenchError(f"{path} answered {status}")
    ours, postgres = time.process_time() - ours, sum(backend.cpu_seconds for backend in backends) - postgres
    each = 1000 / len(paths)
    return Took(times=times, cpu=(ours + postgres) * each, postgres=postgres * each)


@contextmanager
def _app(folder: Path) -> Iterator[Parts]:
    """The web app with its stores and no cluster: what is archived needs none."""
    nowhere = folder / "kubeconfig"
    nowhere.write_text(_KUBECONFIG.format(port=free_port()))
    json_logs.configure("WARNING")
    with ExitStack() as cleanup:
        postgres, redis = cleanup.enter_context(Postgres()), cleanup.enter_context(Redis())
        settings = WebSettings(
            database_url=postgres.create_database("history"),
            redis_url=redis.url(),
            secret_key="k" * 40,
            admin_email=EMAIL,
            admin_password=PASSWORD,
            kubeconfig=nowhere,
            namespaces=[PROJECT],
        )
        made = make_services(settings, name="bench")
        cleanup.callback(made.engine.dispose)
        schema.upgrade(made.engine)
        with made.engine.begin() as connection:
            create_admin(connection, settings)
        parts = make_parts(made, project=PROJECT)
        leave_out_what_is_there()  # as a worker of the server does
        yield parts


_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
clusters: [{{name: none, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: none, context: {{cluster: none, user: none}}}}]
users: [{{name: none, user: {{}}}}]
"""


def table(found: list[Answered], *, runs: int) -> str:
    """For people."""
    lines = [
        f"| {runs:,} archived runs | p50 ms | p95 ms | most ms | CPU ms | of it Postgres | target p95 | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one.what} | {one.p50} | {one.p95} | {one.most} | {one.cpu} | {one.postgres} | {one.target:.0f} | {'reached' if one.reached else 'missed'} |"
        for one in found
    ]
    return "\n".join(lines)


def as_json(found: list[Answered]) -> list[dict[str, Any]]:
    """For programs."""
    return [asdict(one) for one in found]
