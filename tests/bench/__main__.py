"""Measure the operator beside plain Jobs on one throw-away control plane: `make bench ARGS="--runs 1000"`.

Pods are fake and end at once, so that what is measured is what the operator and the control plane cost. Both systems
take turns in the same run: figures of a shared machine are worth something only beside each other.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from support.kube import Kube
from support.operator import OperatorProcess, install_crds
from tidegate_cluster.audit import AuditEntry
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError

from . import figures, history, open_pages, pools, serving, starting
from .figures import Figures, ProcessView, Quantiles
from .load import ACTOR, PLAIN_JOBS, SAME_JOBS, TIDEGATE, BenchError, Load, Seen, System
from .waiting import WaitingBench, WaitingFigures, waiting_table

OPERATOR = "operator"
WARM_UP = 20
SETTLE_SECONDS = 5.0


class Bench:
    """One measurement."""

    def __init__(self, plane: ControlPlane, load: Load, operator: OperatorProcess) -> None:
        self._plane, self._load, self._operator = plane, load, operator
        self._process = ProcessView(operator.pid)
        self.plain, self.same, self.ours = Figures(), Figures(), Figures()

    async def run(self, *, runs: int, repeat: int, rates: list[str], seconds: float) -> None:
        """Fill `plain` and `ours`."""
        await asyncio.sleep(SETTLE_SECONDS)
        self.ours.rss_idle_mb = self._process.memory_mb("VmRSS")
        _report_state("warming up")
        for system in (PLAIN_JOBS, SAME_JOBS, TIDEGATE):
            await self._load.drain(system, self._namespace(system, f"warm-{system.kind}"), runs=WARM_UP)
        for i in range(repeat):
            _report_state(f"drain {i + 1} of {repeat}: {runs} runs")
            await self._drain(i, runs)
        drains = {f"{TIDEGATE.plural}-drain-{i}" for i in range(repeat)}
        self._count_requests("drain", drains, runs=runs * repeat)
        for rate in rates:
            _report_state(f"{rate} runs/s for {seconds:.0f} s")
            await self._pace(rate, seconds)
        self.ours.rss_peak_mb = self._process.memory_mb("VmHWM")

    async def _drain(self, i: int, runs: int) -> None:
        for system, found in ((PLAIN_JOBS, self.plain), (SAME_JOBS, self.same)):
            namespace = self._namespace(system, f"{system.kind}-drain-{i}")
            seen = await self._load.drain(system, namespace, runs=runs)
            found.drains.append(round(seen.per_second, 1))
            await asyncio.sleep(SETTLE_SECONDS)
        namespace = self._namespace(TIDEGATE, f"drain-{i}")
        before = self._process.cpu_seconds
        seen = await self._load.drain(TIDEGATE, namespace, runs=runs)
        self.ours.drains.append(round(seen.per_second, 1))
        # What it does after the last end belongs to the runs too.
        await asyncio.sleep(SETTLE_SECONDS)
        self.ours.cpu_ms.append(round(1000 * (self._process.cpu_seconds - before) / runs, 2))

    def _count_requests(self, what: str, namespaces: set[str], *, runs: int) -> list[AuditEntry]:
        entries = [e for e in self._plane.requests(OPERATOR) if e.namespace in namespaces]
        self.ours.requests[what] = figures.requests_a_run(entries, runs=runs)
        return entries

    async def _pace(self, rate: str, seconds: float) -> None:
        async def measure(system: System) -> tuple[str, Seen]:
            namespace = self._namespace(system, f"rate-{rate.replace('.', '-')}")
            return namespace, await self._load.pace(system, namespace, rate=float(rate), seconds=seconds)

        _, seen = await measure(PLAIN_JOBS)
        self.plain.to_end[rate] = Quantiles.of(seen.durations)
        namespace, seen = await measure(TIDEGATE)
        self.ours.to_end[rate] = Quantiles.of(seen.durations)
        entries = self._count_requests(f"{rate}/s", {namespace}, runs=len(seen.created))
        self.ours.to_job[rate] = figures.job_latency(entries, seen.created)

    def _namespace(self, system: System, what: str) -> str:
        """One of its own for each measurement: the audit log is distinguished by it."""
        name = f"{system.plural}-{what}"
        kube = Kube(self._plane.kubeconfig()).create_namespace(name)
        # No pod can be made before.
        kube.wait("serviceaccounts", "default", lambda _: True, seconds=30)
        return name


def _report_state(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _measure(given: argparse.Namespace, folder: Path) -> tuple[Bench, list[WaitingFigures]]:
    _report_state("starting a control plane and the operator")
    with ControlPlane(actors=("admin", OPERATOR, ACTOR), pods="complete") as plane:
        install_crds(plane)

        def started() -> OperatorProcess:
            # As it is installed: tests look into late pods sooner.
            made = OperatorProcess(plane, actor=OPERATOR, log=folder / "operator.log", look_seconds="5")
            made.forked = False
            return made

        async with Load(plane) as load:
            with started() as operator:
                operator.wait_leading()
                bench = Bench(plane, load, operator)
                await bench.run(
                    runs=given.runs, repeat=given.repeat, rates=given.rates.split(","), seconds=given.seconds
                )
            steps = [int(step) for step in given.waiting.split(",") if step]
            _report_state(f"waiting runs: {given.waiting or 'none'}")
            waiting = WaitingBench(plane, load, operator=started, actor=OPERATOR)
            return bench, await waiting.run(steps) if steps else []


def _history(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        found = history.measure(runs=given.history, requests=given.requests, folder=Path(folder), report=_report_state)
    if given.json:
        print(json.dumps(history.as_json(found), indent=2))
    else:
        print(f"{figures.machine()}\n\n{history.table(found, runs=given.history)}")
    return 0


def _serving(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        posted, mirrored, streamed = serving.measure(
            posts=given.posts,
            rounds=given.repeat,
            streams=given.streams,
            events=given.events,
            folder=Path(folder),
            report=_report_state,
            beside=given.beside,
        )
    if given.json:
        print(json.dumps(serving.as_json(posted, mirrored, streamed), indent=2))
    else:
        print(f"{figures.machine()}\n\n{serving.table(posted, mirrored, streamed)}")
    return 0


def _runner(given: argparse.Namespace) -> int:
    found = starting.measure(rounds=given.runner, report=_report_state)
    if given.json:
        print(json.dumps({kind: asdict(starts) for kind, starts in found.items()}, indent=2))
    else:
        print(f"{figures.machine()}\n\n{starting.table(found)}")
    return 0


def _pools(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        found = pools.measure(
            runs=given.runs,
            repeat=given.repeat,
            rates=given.rates.split(","),
            seconds=given.seconds,
            folder=Path(folder),
            report=_report_state,
        )
    if given.json:
        print(json.dumps(pools.as_json(found), indent=2))
    else:
        print(f"{figures.machine()}\n\n{pools.table(found, runs=given.runs)}")
    return 0


def _open_pages(given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        found = open_pages.measure(
            others=[int(number) for number in given.open_pages.split(",")],
            changes=given.changes,
            folder=Path(folder),
            report=_report_state,
        )
    if given.json:
        print(json.dumps(open_pages.as_json(found), indent=2))
    else:
        print(f"{figures.machine()}\n\n{open_pages.table(found)}")
    return 0


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="runs in a drain (%(default)s)")
    parser.add_argument("--repeat", type=int, default=2, help="drains (%(default)s)")
    parser.add_argument("--rates", default="2,5", help="runs per second of the steady loads (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="length of each steady load (%(default)s)")
    parser.add_argument("--waiting", default="1000", help="numbers of waiting runs, or none (%(default)s)")
    parser.add_argument(
        "--history",
        type=int,
        nargs="?",
        const=1_000_000,
        metavar="RUNS",
        help="measure the web app over so many archived runs instead (%(const)s)",
    )
    parser.add_argument("--requests", type=int, default=60, help="of each kind over the history (%(default)s)")
    parser.add_argument(
        "--serving", action="store_true", help="measure what the web app takes instead: runs and streams"
    )
    parser.add_argument("--pools", action="store_true", help="measure runs in warm workers instead")
    parser.add_argument("--posts", type=int, default=500, help="runs made over HTTP in a round (%(default)s)")
    parser.add_argument(
        "--beside", type=Path, metavar="CHECKOUT", help="let the web app of another checkout take turns in making runs"
    )
    parser.add_argument("--streams", type=int, default=2000, help="open streams (%(default)s)")
    parser.add_argument("--events", type=int, default=50, help="events to all of them (%(default)s)")
    parser.add_argument(
        "--open-pages",
        nargs="?",
        const="0,50,200",
        metavar="PAGES",
        help="measure how soon pages show a change instead, beside so many others (%(const)s)",
    )
    parser.add_argument("--changes", type=int, default=30, help="beside each number of open pages (%(default)s)")
    parser.add_argument(
        "--runner",
        type=int,
        nargs="?",
        const=50,
        metavar="ROUNDS",
        help="measure what the runner adds to a bare Python instead (%(const)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    try:
        if given.history is not None:
            return _history(given)
        if given.pools:
            return _pools(given)
        if given.serving:
            return _serving(given)
        if given.open_pages is not None:
            return _open_pages(given)
        if given.runner is not None:
            return _runner(given)
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
            bench, waiting = asyncio.run(_measure(given, Path(folder)))
    except (BenchError, ClusterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(figures.as_json(bench.plain, bench.same, bench.ours, waiting), indent=2))
    else:
        print(f"{figures.machine()}\n\n{figures.table(bench.plain, bench.same, bench.ours, runs=given.runs)}")
        if waiting:
            print(f"\n{waiting_table(waiting, idle_mb=bench.ours.rss_idle_mb or 0.0)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
