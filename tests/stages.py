"""Run the tests stage by stage, the quick ones first, and tell how long each took.

python tests/stages.py [STAGE ...]
"""

import os
import subprocess
import sys
import time
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

WITHOUT_PROGRAMS = {"unit", "property"}


def build_programs() -> int:
    """Build Kubernetes' programs, once a machine, where people can see it go on; pytest would hide it."""
    sys.stdout.write("\n== programs: built once, then cached\n")
    sys.stdout.flush()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "cluster")}
    command = [sys.executable, "-m", "tidegate_cluster", "programs"]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode


def main(wanted: list[str]) -> int:
    """Run the wanted stages, all of them by default; returns the exit code."""
    if unknown := set(wanted) - set(STAGES):
        sys.stderr.write(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}\n")
        return 2
    lines = []
    failed = built = False
    for stage in wanted or STAGES:
        if not any((ROOT / "tests" / stage).rglob("test_*.py")):
            continue
        if stage not in WITHOUT_PROGRAMS and not built:
            if code := build_programs():
                return code
            built = True
        sys.stdout.write(f"\n== {stage}: {STAGES[stage]}\n")
        sys.stdout.flush()
        begin = time.monotonic()
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"tests/{stage}"], cwd=ROOT, check=False
        ).returncode
        failed |= code != 0
        lines.append(f"{stage:14} {'ok' if code == 0 else f'FAILED ({code})':11} {time.monotonic() - begin:6.1f} s")
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
