"""Runs in warm workers beside plain Jobs, our own Jobs, and a client that does nothing but a create and two status patches a run.

Each run is a process of its own in a real worker process; apiserver and operator are real, the node is not. All take turns in one
run. What the operator costs is read from its own process and from the apiserver's audit log.
"""

import asyncio
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from support.builders import a_pool, a_run
from support.operator import OwnRuns, install_crds
from support.pools import Node, node_of, pooled_operator, with_secret
from support.servers import free_port
from tidegate_api.names import API_VERSION
from tidegate_cluster.control_plane import ControlPlane

from . import calling, connections, figures
from .connections import Idle
from .figures import ProcessView, Quantiles
from .load import ACTOR, PLAIN_JOBS, TIDEGATE, Load, System, run_succeeded

OPERATOR: Final = "operator"
WORKERS: Final = 2
SLOTS: Final = 8
CONNECTIONS: Final = 1000
TASKS: Final = "def nothing(): return 1\n"
SETTLE_SECONDS: Final = 3.0


def _warm_run(name: str) -> dict[str, Any]:
    made = a_run(name).warm("tasks:nothing").built
    del made["metadata"]["namespace"]
    return made


WARM: Final = System(kind="warm", group=API_VERSION, plural="taskruns", make=_warm_run, succeeded=run_succeeded)


def _suspended_run(name: str) -> dict[str, Any]:
    # Suspended: no operator looks at it.
    spec = {"task": {"pool": "none", "entrypoint": "a:b"}, "suspend": True}
    return {"apiVersion": API_VERSION, "kind": "TaskRun", "metadata": {"name": name}, "spec": spec}


_ATTEMPT: Final[dict[str, Any]] = {"number": 1, "pool": "warm", "podName": "p", "podUid": "u", "handover": "h"}
LIMIT: Final = System(
    kind="limit",
    group=API_VERSION,
    plural="taskruns",
    make=_suspended_run,
    succeeded=run_succeeded,
    statuses=(
        {"phase": "Running", "attempts": [_ATTEMPT], "resolvedTask": {"pool": "warm", "entrypoint": "a:b"}},
        {"phase": "Succeeded", "attempts": [{**_ATTEMPT, "outcome": "Succeeded"}], "result": 1},
    ),
)
"""What the control plane takes of a client that does nothing but create a run and write two statuses."""


@dataclass(slots=True)
class PoolFigures:
    """What was measured."""

    drains: dict[str, list[float]] = field(default_factory=dict)
    """Runs per second, a drain each: of plain Jobs, our Jobs, warm runs, and the control plane's own limit."""
    to_end: dict[str, Quantiles] = field(default_factory=dict)
    """Creation answered to end seen, by rate."""
    limit_to_end: dict[str, Quantiles] = field(default_factory=dict)
    """The same of the client that writes both statuses itself: what the control plane alone takes."""
    calls: dict[str, Quantiles] = field(default_factory=dict)
    """A run asked for and its result answered by one call of the web app, by rate."""
    requests: dict[str, float] = field(default_factory=dict)
    """A warm run of a drain, by verb and resource."""
    cpu_ms: list[float] = field(default_factory=list)
    """Of the operator, a run, a drain each."""
    idle: Idle | None = None
    worker_idle_mb: float = 0.0
    """Of all processes of one worker."""


class PoolBench:
    """One measurement."""

    def __init__(self, plane: ControlPlane, load: Load, operator_pid: int, folder: Path) -> None:
        self._plane, self._load, self._folder = plane, load, folder
        self._process = ProcessView(operator_pid)
        self.found = PoolFigures()

    async def run(
        self, *, runs: int, repeat: int, rates: list[str], seconds: float, report: Callable[[str], object]
    ) -> None:
        """Fill `found`."""
        with self._workers("warm-up") as namespace:
            await self._load.drain(WARM, namespace, runs=50)
            self._measure_idle()
        for i in range(repeat):
            report(f"drain {i + 1} of {repeat}: {runs} runs")
            for system in (PLAIN_JOBS, TIDEGATE, LIMIT):
                await self._drain(system, self._namespace(f"{system.kind}-{i}"), runs)
            with self._workers(f"drain-{i}") as namespace:
                before = self._process.cpu_seconds
                await self._drain(WARM, namespace, runs)
                await asyncio.sleep(SETTLE_SECONDS)
                self.found.cpu_ms.append(round(1000 * (self._process.cpu_seconds - before) / runs, 2))
        entries = [e for e in self._plane.requests(OPERATOR) if e.namespace.startswith("warm-drain-")]
        self.found.requests = figures.requests_a_run(entries, runs=runs * repeat)
        for rate in rates:
            report(f"{rate} warm runs/s for {seconds:.0f} s")
            label = f"rate-{rate.replace('.', '-')}"
            with self._workers(label) as namespace:
                seen = await self._load.pace(WARM, namespace, rate=float(rate), seconds=seconds)
                self.found.to_end[rate] = Quantiles.of(seen.durations)
            seen = await self._load.pace(LIMIT, self._namespace(f"limit-{label}"), rate=float(rate), seconds=seconds)
            self.found.limit_to_end[rate] = Quantiles.of(seen.durations)
        for rate in rates:
            report(f"{rate} calls/s over HTTP for {seconds:.0f} s")
            with self._workers(f"calls-{rate.replace('.', '-')}") as namespace:
                with calling.web_app(self._plane, project=namespace, folder=self._folder) as (url, key):
                    spec = _warm_run("called")["spec"]
                    took = await calling.call(url, key, project=namespace, spec=spec, rate=float(rate), seconds=seconds)
                self.found.calls[rate] = Quantiles.of(took)

    async def _drain(self, system: System, namespace: str, runs: int) -> None:
        seen = await self._load.drain(system, namespace, runs=runs)
        self.found.drains.setdefault(system.kind, []).append(round(seen.per_second, 1))
        await asyncio.sleep(SETTLE_SECONDS)

    def _measure_idle(self) -> None:
        worker = next(iter(self._node.workers.values()))
        self.found.worker_idle_mb = round(_pss_mb(worker.pid), 1)

    @contextmanager
    def _workers(self, what: str) -> Iterator[str]:
        """A namespace with a pool whose workers are there."""
        runs = OwnRuns(self._plane, f"warm-{what}")
        with node_of(runs, self._folder / what, tasks=TASKS) as node:
            self._node: Node = node
            runs.create(a_pool("warm", slots=SLOTS, replicas=WORKERS, preload=["tasks"]))
            node.run_all("warm", WORKERS)
            node.wait_slots("warm", WORKERS * SLOTS)
            yield runs.namespace

    def _namespace(self, what: str) -> str:
        return OwnRuns(self._plane, f"bench-{what}").namespace


def _pss_mb(pid: int) -> float:
    """Memory of a process and all below it, each shared page once."""
    pids, total = [pid], 0
    while pids:
        one = pids.pop()
        tasks = Path(f"/proc/{one}/task")
        for task in tasks.iterdir() if tasks.is_dir() else ():
            pids += [int(child) for child in (task / "children").read_text().split()]
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total / 1024


async def _measure(
    *, runs: int, repeat: int, rates: list[str], seconds: float, folder: Path, report: Callable[[str], object]
) -> PoolFigures:
    report("starting a control plane and the operator")
    actors = {actor: ["system:masters"] for actor in ("admin", OPERATOR, ACTOR)}
    with ControlPlane(actors={**actors, "web": [], "mirror": []}, pods="complete") as plane:
        install_crds(plane)
        with_secret(OwnRuns(plane, "prepared"))
        operator = pooled_operator(plane, log=folder / "operator.log", port=free_port(), actor=OPERATOR)
        with operator:
            operator.wait_leading()
            async with Load(plane) as load:
                bench = PoolBench(plane, load, operator.pid, folder)
                await bench.run(runs=runs, repeat=repeat, rates=rates, seconds=seconds, report=report)
                return bench.found


def measure(
    *, runs: int, repeat: int, rates: list[str], seconds: float, folder: Path, report: Callable[[str], object]
) -> PoolFigures:
    """Measure all of it."""
    found = asyncio.run(_measure(runs=runs, repeat=repeat, rates=rates, seconds=seconds, folder=folder, report=report))
    found.idle = connections.measure(connections=CONNECTIONS, seconds=seconds, report=report)
    return found


def as_json(found: PoolFigures) -> dict[str, Any]:
    """For programs."""
    return asdict(found)


def table(found: PoolFigures, *, runs: int) -> str:
    """For people."""
    names = {
        "plain": "plain Jobs",
        "tidegate": "our runs, a Job each",
        "warm": "warm runs",
        "limit": "the control plane's own limit (one create, two patches)",
    }
    rows = [
        f"| drain of {runs}, per second: {names[kind]} | {statistics.median(each)} |"
        for kind, each in found.drains.items()
    ]
    warm = statistics.median(found.drains["warm"])
    rows += [
        f"| warm runs by that limit | {warm / statistics.median(found.drains['limit']):.2f} |",
        f"| warm runs by plain Jobs | {warm / statistics.median(found.drains['plain']):.1f} |",
    ]
    for rate, quantiles in found.to_end.items():
        rows.append(f"| created → end seen at {rate}/s, p50 / p95 / p99, ms | {quantiles} |")
        rows.append(f"| – by the client that does nothing else | {found.limit_to_end[rate]} |")
    rows += [
        f"| a call over HTTP with `wait` at {rate}/s, p50 / p95 / p99, ms | {found.calls[rate]} |"
        for rate in found.calls
    ]
    rows.append(f"| operator CPU a warm run, ms | {statistics.median(found.cpu_ms)} |")
    rows += [f"| requests a warm run: {what} | {count} |" for what, count in sorted(found.requests.items())]
    if (idle := found.idle) is not None:
        rows.append(f"| {idle.connections} idle workers: operator memory over none, MB | {idle.memory_mb} |")
        rows.append(f"| {idle.connections} idle workers: operator CPU, % of a core | {idle.cpu_percent} |")
    rows.append(f"| a worker, idle, all its processes, MB | {found.worker_idle_mb} |")
    return "\n".join(["| what | measured |", "|---|---|", *rows])
