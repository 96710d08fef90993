"""What the runner adds to a bare Python: time and memory from the start of the process to its end, for a task that does nothing,
and for one that reports progress and sets a checkpoint.

Each round measures all of them in turn: on a machine that does other things too, only differences within a round say
something. Memory is the process's own peak, which it reads itself: what the kernel reports to its parent may be the parent's.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.runner import RUNNER
from support.scripted import Asked, Says, ScriptedWeb

TELL: Final = "print(open('/proc/self/status').read())"
TASKS: Final = f"""
from tidegate import current_run, progress, task

@task
def nothing(): {TELL}

@task
def tells():
    progress(0.5, "half")
    current_run().checkpoint = 1
    {TELL}
"""
KINDS: Final = {
    "python -c pass": ("-c", TELL),
    "a task that does nothing": ("-m", "tidegate", "tasks:nothing"),
    "one with progress and a checkpoint": ("-m", "tidegate", "tasks:tells"),
}


@dataclass
class Starts:
    """What was measured of one kind, a value a round."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)


def measure(*, rounds: int, report: Callable[[str], object]) -> dict[str, Starts]:
    """Start each kind so often, in turn."""
    found = {kind: Starts() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name, ScriptedWeb(_answer) as web:
        folder = Path(name)
        (folder / "tasks.py").write_text(TASKS, encoding="utf-8")
        (folder / "token").write_text("t", encoding="ascii")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(RUNNER),
            "TIDEGATE_API_URL": web.url,
            "TIDEGATE_RUN": "r",
            "TIDEGATE_RUN_UID": "u",
            "TIDEGATE_TOKEN_FILE": str(folder / "token"),
        }
        for number in range(rounds + 1):
            for kind, arguments in KINDS.items():
                if number:  # the first round writes what Python keeps compiled
                    _once(arguments, environment, folder, found[kind])
                else:
                    _once(arguments, environment, folder, Starts())
            if number and number % 10 == 0:
                report(f"{number} of {rounds} rounds")
    return found


def _answer(_: Asked) -> Says:
    return Says(204)


def _once(arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path, found: Starts) -> None:
    before = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=dict(environment), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        reported = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    found.wall_ms.append((time.perf_counter() - before) * 1000)
    found.cpu_ms.append((usage.ru_utime + usage.ru_stime) * 1000)
    peak = re.search(r"VmHWM:\s+(\d+) kB", reported)
    assert peak is not None, reported
    found.peak_mb.append(int(peak.group(1)) / 1024)


def table(found: Mapping[str, Starts]) -> str:
    """Medians, and what each kind adds to a bare Python: the median of the differences within rounds."""
    bare = found["python -c pass"]
    lines = ["| process | wall, ms | added | CPU, ms | added | peak RSS, MB | added |", "|---|---|---|---|---|---|---|"]
    for kind, starts in found.items():
        cells = [kind]
        for name in ("wall_ms", "cpu_ms", "peak_mb"):
            values, base = getattr(starts, name), getattr(bare, name)
            added = statistics.median(one - other for one, other in zip(values, base, strict=True))
            cells += [f"{statistics.median(values):.1f}", "–" if starts is bare else f"{added:+.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
