"""What the web app takes: runs made over HTTP beside the same runs made at the apiserver, and open streams.

The processes are those that the chart runs, with their rights, beside a Postgres and a Redis of their own. Rounds over
HTTP and at the apiserver take turns: the ratio of two that follow each other is worth more than either.
"""

import asyncio
import json
import resource
import signal
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from sqlalchemy import text
from support.operator import install_crds
from support.rights import grant
from support.runs import now
from support.servers import Postgres, Redis, ensure_servers
from support.web import Process, Stack
from tidegate_cluster.control_plane import ControlPlane
from tidegate_web.app import make_redis
from tidegate_web.auth.admin import create_admin
from tidegate_web.events.channels import EventLog
from tidegate_web.store import schema

from .figures import ProcessView
from .load import ACTOR, BenchError
from .posting import PROJECT, TASK, Posted, create, post, rate, session

POSTS_TARGET: Final = 300.0
MIRROR_TARGET: Final = 200.0
DELIVERY_TARGET_MS: Final = 250.0
OPENING: Final = 50
"""Streams that are being opened at once."""
PATIENCE: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """From an event's publication until the last of all streams had it, in milliseconds."""

    streams: int
    events: int
    p50: float
    p95: float
    most: float
    cpu_ms: float
    """Of the process that serves them, an event."""
    memory_mb: float


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """Runs from creation to end, each three changes, into Postgres."""

    runs: int
    offered: float
    """A second, by the apiserver, while the mirror was stopped: it can't offer what the mirror takes."""
    stored: float
    """A second, from the moment when the mirror went on."""
    cpu_ms: float
    """Of the mirror, a run."""


def measure(
    *,
    posts: int,
    rounds: int,
    streams: int,
    events: int,
    folder: Path,
    report: Callable[[str], None],
    beside: Path | None = None,
) -> tuple[Posted, Mirrored, Streamed]:
    """Start everything and ask. The web app of the checkout ``beside`` takes turns with ours in making runs."""
    ensure_servers()
    lift_limit_of_files()
    with serving_stack() as stack:
        key = stack.parts("web").key("operator").key
        with ExitStack() as processes:
            log = folder / "serve.log"
            serving = [processes.enter_context(stack.process("serve", actor="web", log=log, rate_limit_requests=0))]
            if beside is not None:
                other = stack.process(
                    "serve", actor="web", log=folder / "beside.log", checkout=beside, rate_limit_requests=0
                )
                serving.append(processes.enter_context(other))
            report(f"{rounds} times {posts} runs over HTTP, in batches, and at the apiserver")
            posted = asyncio.run(post(stack, serving, key, posts=posts, rounds=rounds))
        with stack.process("mirror", actor="mirror", log=folder / "mirror.log") as mirror:
            report(f"{posts * rounds} runs from their creation to their end, into Postgres")
            mirrored = asyncio.run(_mirror(stack, mirror, runs=posts * rounds))
        with stack.process("live", actor="web", log=folder / "live.log", rate_limit_requests=0) as live:
            report(f"{events} events to {streams} streams")
            streamed = asyncio.run(_stream(stack, live, key, streams=streams, events=events))
    return posted, mirrored, streamed


async def _mirror(stack: Stack, mirror: Process, *, runs: int) -> Mirrored:
    process = ProcessView(mirror.process.pid)
    engine = stack.services("web").engine
    path = f"/apis/tidegate.dev/v1alpha1/namespaces/{PROJECT}/taskruns"
    context = ssl.create_default_context(cafile=stack.plane.ca_file)
    times = dict.fromkeys(("startedAt", "finishedAt"), now())
    attempt = {"number": 1, "outcome": "Succeeded", "exitCode": 0, **times}
    statuses = ({"phase": "Running"}, {"phase": "Succeeded", "attempts": [attempt], **times})

    async def live(name: str) -> None:
        made = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "TaskRun", "metadata": {"name": name}}
        await create(raw, path, {**made, "spec": {"taskRef": {"name": TASK}}})
        for status in statuses:
            headers = {"Content-Type": "application/merge-patch+json"}
            async with raw.patch(f"{path}/{name}/status", json={"status": status}, headers=headers) as answer:
                if answer.status != 200:
                    raise BenchError(f"a status of {name} was refused: {answer.status} {await answer.text()}")

    def ended() -> int:
        with engine.connect() as connection:
            counted = "SELECT count(*) FROM runs WHERE phase = 'Succeeded' AND name LIKE 'mirrored-%'"
            return int(connection.execute(text(counted)).scalar_one())

    async with session(stack.plane.url, stack.plane.token(ACTOR), tls=context) as raw:
        mirror.process.send_signal(signal.SIGSTOP)
        try:
            offered = await rate(live, [f"mirrored-{n}" for n in range(runs)])
        finally:
            mirror.process.send_signal(signal.SIGCONT)
        before, went_on = process.cpu_seconds, time.perf_counter()
        while await asyncio.to_thread(ended) < runs:
            if time.perf_counter() - went_on > PATIENCE:
                raise BenchError(f"the mirror has {ended()} of {runs} runs {PATIENCE:.0f} s later")
            await asyncio.sleep(0.01)
        stored = time.perf_counter()
    return Mirrored(
        runs=runs,
        offered=offered,
        stored=round(runs / (stored - went_on), 1),
        cpu_ms=round((process.cpu_seconds - before) * 1000 / runs, 2),
    )


async def _stream(stack: Stack, live: Process, key: str, *, streams: int, events: int) -> Streamed:
    (pid,) = ProcessView(live.process.pid).children()
    process = ProcessView(pid)
    published = EventLog(redis=make_redis(stack.settings("web")), history=1000)
    arrived: dict[int, int] = {}
    last: dict[int, float] = {}
    everywhere = asyncio.Event()

    def note(seq: int) -> None:
        arrived[seq] = arrived.get(seq, 0) + 1
        if arrived[seq] == streams:
            last[seq] = time.perf_counter()
            everywhere.set()

    async with AsyncExitStack() as cleanup:
        url = f"http://127.0.0.1:{live.port}"
        reading = await cleanup.enter_async_context(session(url, key))
        opening = asyncio.Semaphore(OPENING)
        ready = [asyncio.Event() for _ in range(streams)]
        readers = [asyncio.create_task(_read(reading, opening, one, note)) for one in ready]
        cleanup.callback(lambda: [reader.cancel() for reader in readers])
        await asyncio.wait_for(asyncio.gather(*(one.wait() for one in ready)), timeout=PATIENCE)
        took, before = [], process.cpu_seconds
        for i in range(events):
            everywhere.clear()
            began = time.perf_counter()
            await asyncio.to_thread(published.publish, PROJECT, [_event(i)])
            await asyncio.wait_for(everywhere.wait(), timeout=PATIENCE)
            took.append((last[max(last)] - began) * 1000)
        ordered = sorted(took)
        return Streamed(
            streams=streams,
            events=events,
            p50=round(ordered[len(ordered) // 2], 1),
            p95=round(ordered[int(len(ordered) * 0.95)], 1),
            most=round(ordered[-1], 1),
            cpu_ms=round((process.cpu_seconds - before) * 1000 / events, 1),
            memory_mb=process.memory_mb("VmRSS"),
        )


def _event(number: int) -> dict[str, object]:
    uid = f"00000000-0000-4000-8000-{number:012}"
    return {"uid": uid, "name": f"run-{number}", "phase": "Running", "reason": None, "attempt": 1, "tags": ["nightly"]}


async def _read(
    session: aiohttp.ClientSession, opening: asyncio.Semaphore, ready: asyncio.Event, note: Callable[[int], None]
) -> None:
    async with opening:
        answer = await session.get(f"/live/v1/projects/{PROJECT}/events?all")
        if answer.status != 200:
            raise BenchError(f"a stream was refused: {answer.status} {await answer.text()}")
        # The greeting carries the number to come back with; what follows it is live.
        while not (await answer.content.readline()).startswith(b"data: "):
            pass
        ready.set()
    async for line in answer.content:
        if line.startswith(b"data: "):
            note(json.loads(line[6:])["seq"])


@contextmanager
def serving_stack() -> Iterator[Stack]:
    """A control plane, a Postgres and a Redis, with a project, for the web app's processes as the chart runs them."""
    with ExitStack() as cleanup:
        plane = cleanup.enter_context(
            ControlPlane(actors={"admin": ["system:masters"], ACTOR: ["system:masters"], "web": [], "mirror": []})
        )
        install_crds(plane)
        for actor in ("web", "mirror"):
            grant(plane, actor)
        postgres, redis = cleanup.enter_context(Postgres()), cleanup.enter_context(Redis())
        stack = Stack(
            postgres=postgres,
            redis=redis,
            plane=plane,
            project=PROJECT,
            database_url=postgres.create_database("serving"),
            redis_url=redis.url(),
            cleanup=cleanup,
            forks=False,
        )
        engine = stack.services("web").engine
        schema.upgrade(engine)
        with engine.begin() as connection:
            create_admin(connection, stack.settings("web"))
        stack.runs.task(TASK, image="busybox")
        yield stack


def lift_limit_of_files() -> None:
    """A stream is a file at both ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def table(posted: Posted, mirrored: Mirrored, streamed: Streamed) -> str:
    """For people."""

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.0f} ({min(values):.0f}–{max(values):.0f})"

    beside = (
        [
            f"| by the checkout beside, a second (spread) | {spread(posted.beside)} | – |",
            f"| its ratio to the apiserver | {posted.beside_ratio:.2f} | – |",
            f"| CPU of its web process a run, ms | {posted.beside_cpu_ms} | – |",
        ]
        if posted.beside
        else []
    )
    delivery = f"{streamed.p50} / {streamed.p95} / {streamed.most}"
    return "\n".join(
        [
            "| figure | measured | target |",
            "| --- | --- | --- |",
            f"| runs made over HTTP, a second (spread) | {spread(posted.over_http)} | {POSTS_TARGET:.0f} |",
            f"| at the apiserver, a second (spread) | {spread(posted.at_apiserver)} | – |",
            f"| ratio of the two | {posted.ratio:.2f} | – |",
            f"| in one batch, a second (spread) | {spread(posted.batched)} | – |",
            f"| CPU of the web process a run, ms | {posted.cpu_ms} | – |",
            *beside,
            f"| runs (three changes each) stored by the mirror, a second | {mirrored.stored} | {MIRROR_TARGET:.0f} |",
            f"| the same, written at the apiserver, a second | {mirrored.offered} | – |",
            f"| CPU of the mirror a run (three changes), ms | {mirrored.cpu_ms} | – |",
            f"| an event to {streamed.streams:,} streams, ms p50 / p95 / most | {delivery} | {DELIVERY_TARGET_MS:.0f} |",
            f"| CPU of the live process an event, ms | {streamed.cpu_ms} | – |",
            f"| memory of the live process, MB | {streamed.memory_mb} | – |",
        ]
    )


def as_json(posted: Posted, mirrored: Mirrored, streamed: Streamed) -> dict[str, Any]:
    """For programs."""
    return {
        "posted": asdict(posted) | {"ratio": posted.ratio},
        "mirrored": asdict(mirrored),
        "streamed": asdict(streamed),
    }
