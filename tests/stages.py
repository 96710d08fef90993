"""Run the tests stage by stage and show how long each took.

python tests/stages.py [--quick] [STAGE ...]

With no stage named, the cluster's stage runs beside the others, for much of what it does is waiting. What a lane's stage says is shown
when it has ended. LANES=1 runs everything one by one; PROCESSES=N has N processes share the tests of a stage that can be shared.

--quick: lint, and a slice of each stage (tests marked `quick`), for people at work. The slice of the cluster is taken where
TIDEGATE_TEST_CLUSTER names a cluster that is kept: making one takes longer than all the rest.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGES = {
    "unit": "pure functions and single processes",
    "property": "the real operator under random orders of events",
    "control_plane": "a real apiserver, no containers",
    "web": "real Postgres, Redis, apiserver and browser",
    "cluster_tool": "making, breaking and removing clusters",
    "cluster": "the chart on a real cluster, real pods, a browser",
}
LINT = "lint"
WITHOUT_PROGRAMS = ("unit", "property")
LANES = (("cluster",), ("property", "unit", "cluster_tool", "control_plane", "web"))
"""More side by side takes longer on two cores, not shorter: pods and servers that start late are waited for, asked again and started
again, and waits of tests end. So light stages come first, while the cluster has most to do."""
QUICK_EXAMPLES = "10"
QUICK_LANES = (("property", "unit"), ("web", "control_plane", LINT))
PROCESSES = {"control_plane": 3, "web": 3, "cluster": 2}
"""How many share a stage's tests. Each has servers of its own (tests/support/spread.py says which tests stay together)."""
FIRST = "cluster"
NICENESS = 10
"""Of the other stages. The first takes longest and mostly waits for pods: where both cores are busy, it goes first."""


def build_programs() -> int:
    """Build Kubernetes' programs, once a machine, where people can see it go on; pytest would hide it."""
    say("\n== programs: built once, then cached\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cluster")}
    command = [sys.executable, "-m", "tidegate_cluster", "programs"]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class Report:
    """What became of each stage."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._lock = threading.Lock()
        self.failed = False

    def add(self, stage: str, *, code: int, seconds: float, cpu: float, output: str = "") -> None:
        line = f"{stage:14} {'ok' if code == 0 else f'FAILED ({code})':11} {seconds:6.1f} s {cpu:6.0f} s of CPU"
        with self._lock:
            if output:
                say(f"\n== {stage}: {STAGES.get(stage, 'ruff, mypy --strict, import-linter')}\n{output}-- {line}\n")
            self.failed |= code != 0
            self._lines[stage] = line

    def show(self, seconds: float) -> None:
        lines = [self._lines[stage] for stage in (LINT, *STAGES) if stage in self._lines]
        say("\n" + "\n".join(lines) + f"\n{'in all':26} {seconds:6.1f} s\n")


def command_of(stage: str, *, quick: bool = False) -> list[str]:
    if stage == LINT:
        return ["make", "--no-print-directory", LINT]
    command = [sys.executable, "-m", "pytest", "-q", f"tests/{stage}"]
    if quick and stage not in WITHOUT_PROGRAMS:
        return [*command, "-m", "quick"]
    # At work, unit tests are the most of what runs; in a whole run other lanes keep both cores busy.
    shared = PROCESSES | ({"unit": 2} if quick else {})
    if stage in shared:
        processes = os.environ.get("PROCESSES") or str(shared[stage])
        command += ["-n", processes, "--dist", "loadscope", "--no-loadscope-reorder"]
    return command


def environment_of(*, quick: bool = False) -> dict[str, str]:
    """A quick run draws fewer examples of each property. Python keeps compiled modules: hundreds of processes import the same.
    Kubernetes' programs collect garbage less often: that is a fifth of an apiserver's CPU."""
    environment = {**os.environ, "TIDEGATE_PROPERTY_EXAMPLES": QUICK_EXAMPLES} if quick else dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.setdefault("GOGC", "400")
    return environment


def ended(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """(exit code, seconds of CPU) of a process and of the children that it has waited for. Daemons that it left aren't counted."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime


def run_here(stage: str, report: Report) -> None:
    """Run a stage where people can see it go on."""
    say(f"\n== {stage}: {STAGES[stage]}\n")
    begin = time.monotonic()
    code, cpu = ended(subprocess.Popen(command_of(stage), cwd=ROOT, env=environment_of()))
    report.add(stage, code=code, seconds=time.monotonic() - begin, cpu=cpu)


def run_lane(stages: Sequence[str], report: Report, *, quick: bool) -> None:
    """Run stages one after the other, beside another lane; what each says is kept until it has ended."""
    for stage in stages:
        say(f"-- {stage} begins\n")
        begin = time.monotonic()
        with tempfile.TemporaryFile() as output:
            command = command_of(stage, quick=quick)
            if stage != FIRST and not quick:
                command = ["nice", "-n", str(NICENESS), *command]
            environment = environment_of(quick=quick)
            code, cpu = ended(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
            )
            output.seek(0)
            reported = output.read().decode(errors="replace")
        report.add(stage, code=code, seconds=time.monotonic() - begin, cpu=cpu, output=reported or "\n")


def run_lanes(lanes: Sequence[Sequence[str]], report: Report, *, quick: bool = False) -> None:
    threads = [threading.Thread(target=run_lane, args=(lane, report), kwargs={"quick": quick}) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(arguments: list[str]) -> int:
    """Run the wanted stages, all of them by default; returns the exit code."""
    quick = "--quick" in arguments
    wanted = [argument for argument in arguments if argument != "--quick"]
    if unknown := set(wanted) - set(STAGES):
        sys.stderr.write(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}\n")
        return 2
    begin, report = time.monotonic(), Report()
    side_by_side = quick or (not wanted and os.environ.get("LANES") != "1")
    one_by_one = [] if side_by_side else wanted or list(STAGES)
    if (side_by_side or set(one_by_one) - set(WITHOUT_PROGRAMS)) and (code := build_programs()):
        return code
    for stage in one_by_one:
        run_here(stage, report)
    if quick:
        kept = ("cluster",) if os.environ.get("TIDEGATE_TEST_CLUSTER") else ()
        run_lanes((QUICK_LANES[0], (*QUICK_LANES[1], *kept)), report, quick=True)
    elif side_by_side:
        run_lanes(LANES, report)
    report.show(time.monotonic() - begin)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
