"""Run the tests stage by stage, the quick ones first, and tell how long each took.

python tests/stages.py [STAGE ...]

With no stage named, all run in two lanes side by side, for much of what they do is waiting. What a lane's stage says is shown
when it has ended. LANES=1 runs everything one by one. PROCESSES=N: so many processes of pytest-xdist where a stage has several.
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
    "property": "decisions under random orders of events",
    "control_plane": "a real apiserver, no containers",
    "web": "real Postgres, Redis, apiserver and browser",
    "cluster_tool": "making, breaking and removing clusters",
    "cluster": "the chart on a real cluster, real pods, a browser",
}
WITHOUT_PROGRAMS = ("unit", "property")
LANES = (("cluster", "cluster_tool"), ("unit", "property", "control_plane", "web"))
PROCESSES = {"unit": 2, "control_plane": 3, "web": 3, "cluster": 2}
"""How many share a stage's tests. Each has servers of its own (tests/support/spread.py says which tests stay together)."""


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

    def add(self, stage: str, *, code: int, seconds: float, output: str = "") -> None:
        with self._lock:
            line = f"{stage:14} {'ok' if code == 0 else f'FAILED ({code})':11} {seconds:6.1f} s"
            if output:
                say(f"\n== {stage}: {STAGES[stage]}\n{output}-- {line}\n")
            self.failed |= code != 0
            self._lines[stage] = line

    def show(self, seconds: float) -> None:
        lines = [self._lines[stage] for stage in STAGES if stage in self._lines]
        say("\n" + "\n".join(lines) + f"\n{'in all':26} {seconds:6.1f} s\n")


def command_of(stage: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", f"tests/{stage}"]
    if stage in PROCESSES:
        processes = os.environ.get("PROCESSES") or str(PROCESSES[stage])
        dealt = (
            ["--dist", "loadfile"] if stage in WITHOUT_PROGRAMS else ["--dist", "loadscope", "--no-loadscope-reorder"]
        )
        command += ["-n", processes, *dealt]
    return command


def run_here(stage: str, report: Report) -> None:
    """Run a stage where people can see it go on."""
    say(f"\n== {stage}: {STAGES[stage]}\n")
    begin = time.monotonic()
    code = subprocess.run(command_of(stage), cwd=ROOT, check=False).returncode
    report.add(stage, code=code, seconds=time.monotonic() - begin)


def run_lane(stages: Sequence[str], report: Report) -> None:
    """Run stages one after the other, beside another lane; what each says is kept until it has ended."""
    for stage in stages:
        say(f"-- {stage} begins\n")
        begin = time.monotonic()
        with tempfile.TemporaryFile() as output:
            code = subprocess.run(
                command_of(stage), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
            output.seek(0)
            told = output.read().decode(errors="replace")
        report.add(stage, code=code, seconds=time.monotonic() - begin, output=told)


def main(wanted: list[str]) -> int:
    """Run the wanted stages, all of them by default; returns the exit code."""
    if unknown := set(wanted) - set(STAGES):
        sys.stderr.write(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}\n")
        return 2
    begin, report = time.monotonic(), Report()
    side_by_side = not wanted and os.environ.get("LANES") != "1"
    one_by_one = [] if side_by_side else wanted or list(STAGES)
    built = False
    for stage in one_by_one:
        if stage not in WITHOUT_PROGRAMS and not built:
            if code := build_programs():
                return code
            built = True
        run_here(stage, report)
    if side_by_side:
        if code := build_programs():
            return code
        lanes = [threading.Thread(target=run_lane, args=(lane, report)) for lane in LANES]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    report.show(time.monotonic() - begin)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
