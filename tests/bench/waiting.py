"""What runs cost that only wait: memory of each, and the start of an operator that finds them all there.

The queue lets nothing through, so that what is measured is reading, keeping and deciding, not starting.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from support.builders import a_queue, a_run
from support.kube import Kube
from support.operator import OperatorProcess
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.queueing.fair_queue import QueueEntry

from .figures import ProcessView
from .load import TIDEGATE, BenchError, Json, Load

QUEUE: Final = "closed"
NAMESPACE: Final = "waiting"
PATIENCE: Final = 300.0
QUIET_SECONDS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingFigures:
    """Of one number of waiting runs."""

    waiting: int
    rss_mb: float
    """Of an operator that was started with them all there."""
    start_seconds: float
    """From the start of the process to the POST of the first Job."""
    start_cpu_seconds: float
    """CPU of the process until then."""
    admission_us: float
    """Of one run that comes, is let in and frees its slot, while so many others wait: microseconds."""


class WaitingBench:
    """Measures with ever more waiting runs on one control plane. The operator is stopped while runs are made."""

    def __init__(self, plane: ControlPlane, load: Load, *, operator: Callable[[], OperatorProcess], actor: str) -> None:
        self._plane, self._load, self._operator, self._actor = plane, load, operator, actor
        self._made = 0

    async def run(self, steps: Sequence[int]) -> list[WaitingFigures]:
        """The figures of each step, smallest first."""
        kube = Kube(self._plane.kubeconfig()).create_namespace(NAMESPACE)
        queue = a_queue(QUEUE, concurrencyLimit=0)
        queue["metadata"]["namespace"] = NAMESPACE
        kube.create(queue)
        found = []
        for step in sorted(steps):
            await self._fill(step)
            found.append(await self._measure(step))
        return found

    async def _fill(self, wanted: int) -> None:
        system = replace(TIDEGATE, make=_waiting_run)
        await self._load.create(system, NAMESPACE, range(self._made, wanted))
        self._made = wanted

    async def _measure(self, waiting: int) -> WaitingFigures:
        probe = f"probe-{waiting}"
        made = a_run(probe).built
        made["metadata"]["namespace"] = NAMESPACE
        Kube(self._plane.kubeconfig()).create(made)
        begin = time.time()
        operator = self._operator().start()
        try:
            view = ProcessView(operator.pid)
            await self._load.wait_for_jobs(NAMESPACE, run=probe, seconds=PATIENCE)
            posted, cpu = self._started(probe), view.cpu_seconds
            line = f'tidegate_queue_pending{{namespace="{NAMESPACE}",queue="{QUEUE}"}}'
            await _until(lambda: operator.metric(line) >= waiting, what=f"{waiting} runs to wait")
            rss = await _settled(view)
        finally:
            operator.stop()
        return WaitingFigures(
            waiting=waiting,
            rss_mb=rss,
            start_seconds=round((posted or 0.0) - begin, 2),
            start_cpu_seconds=round(cpu, 2),
            admission_us=round(admission_cost(waiting) * 1e6, 1),
        )

    def _started(self, run: str) -> float | None:
        """When the Job of the run was posted."""
        for entry in self._plane.requests(self._actor):
            if entry.what == "create jobs" and entry.name.startswith(f"{run}-"):
                return datetime.fromisoformat(entry.at).timestamp()
        return None


def waiting_table(found: Sequence[WaitingFigures], *, idle_mb: float) -> str:
    """The figures as Markdown; memory a run over an operator that has nothing to do."""
    head = "| waiting runs | RSS, MB | kB a run | start → first Job, s | CPU of that, s | admission a run, µs |"
    rows = [
        f"| {f.waiting:,} | {f.rss_mb} | {(f.rss_mb - idle_mb) * 1024 / f.waiting:.1f} | {f.start_seconds} "
        f"| {f.start_cpu_seconds} | {f.admission_us} |"
        for f in found
    ]
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *rows])


def admission_cost(waiting: int, *, rounds: int = 2_000) -> float:
    """Seconds that admission takes for one run, from its entry to its free slot, while `waiting` others wait."""
    admission = Admission()
    admission.set_queue(NAMESPACE, QUEUE, spec={"concurrencyLimit": 1}, bucket=None)
    admission.hold("first", namespace=NAMESPACE, queue=QUEUE, key="")
    for i in range(waiting):
        admission.ask(_ticket(f"run-{i}", priority=0, at=float(i)))
    begin = time.perf_counter()
    running = "first"
    for i in range(rounds):
        admission.ask(_ticket(f"more-{i}", priority=1, at=float(waiting + i)))
        admission.free(running)
        (granted,) = admission.admit(0.0)
        running = granted.uid
    return (time.perf_counter() - begin) / rounds


def _ticket(uid: str, *, priority: int, at: float) -> QueueEntry:
    return QueueEntry(
        uid=uid,
        name=uid,
        namespace=NAMESPACE,
        queue=QUEUE,
        key="",
        priority=priority,
        queued_at=at,
        number=1,
        first=True,
    )


def _waiting_run(name: str) -> Json:
    made = a_run(name).spec(queue=QUEUE).built
    del made["metadata"]["namespace"]
    return made


async def _settled(view: ProcessView) -> float:
    """Memory once what the lists needed for a moment has been given back, and kopf has listed too."""
    quiet, before = 0, view.memory_mb("VmRSS")
    while quiet < QUIET_SECONDS:
        await asyncio.sleep(1)
        now = view.memory_mb("VmRSS")
        quiet, before = (quiet + 1 if abs(now - before) < 1 else 0), now
    return before


async def _until(condition: Callable[[], object], *, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not come within {PATIENCE:.0f} s")
        await asyncio.sleep(0.1)
