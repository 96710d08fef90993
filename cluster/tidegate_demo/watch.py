"""The examples, applied and watched in a table until each has ended as it should."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .api import TaskRun, connect, listed
from .kubectl import Kubectl

SECONDS = 180.0
TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled", "Expired", "Skipped"})
COLOURS = {"Succeeded": 32, "Failed": 31, "Cancelled": 33, "Running": 36, "Starting": 36, "Retrying": 35}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """How an example should end."""

    phase: str
    attempts: int = 1
    cancel: bool = False


EXPECTED: Mapping[str, Expected] = {
    "resize-holiday": Expected(phase="Succeeded"),
    "greet": Expected(phase="Succeeded"),
    "flaky-import": Expected(phase="Succeeded", attempts=3),
    "import-orders": Expected(phase="Cancelled", cancel=True),
}


def run_examples(kubectl: Kubectl, *, examples: Path, project: str) -> Sequence[str]:
    """Apply the examples and show them until they have ended; what did not end as it should, in words."""
    # Specs of runs are immutable and their ends final: a second demo makes them again.
    kubectl("-n", project, "delete", "taskruns.tidegate.dev", "--ignore-not-found", *EXPECTED)
    kubectl("-n", project, "apply", "-f", examples)
    api, table = connect(kubectl.kubeconfig), Table()
    end = time.monotonic() + SECONDS
    cancelled: set[str] = set()
    while True:
        runs = {r["metadata"]["name"]: r for r in listed(api, TaskRun, project)}
        table.show([runs[name] for name in EXPECTED if name in runs])
        for name, expected in EXPECTED.items():
            if expected.cancel and name not in cancelled and _phase(runs.get(name)) == "Running":
                kubectl(
                    "-n", project, "patch", "taskruns.tidegate.dev", name, "--type=merge", '-p={"spec":{"cancel":true}}'
                )
                cancelled.add(name)
        if all(_phase(runs.get(name)) in TERMINAL for name in EXPECTED) or time.monotonic() > end:
            return [text for name, expected in EXPECTED.items() if (text := _missed(name, runs.get(name), expected))]
        time.sleep(0.5)


def _phase(run: Mapping[str, Any] | None) -> str:
    return str(run["status"]["phase"]) if run else ""


def _missed(name: str, run: Mapping[str, Any] | None, expected: Expected) -> str:
    attempts = len(run["status"].get("attempts", [])) if run else 0
    if _phase(run) == expected.phase and attempts == expected.attempts:
        return ""
    message = run["status"].get("message", "") if run else "it is gone"
    return f"{name} is {_phase(run) or 'not there'} after {attempts} attempts, not {expected.phase} ({message})"


class Table:
    """A table that is drawn over itself on a terminal, and otherwise written line by line as things change."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._height = 0
        self._shown: dict[str, str] = {}

    def show(self, runs: Sequence[Mapping[str, Any]]) -> None:
        """Show the runs as they are."""
        rows = [_row(run) for run in runs]
        if not self._terminal:
            for name, *cells in rows:
                line = "  ".join(cell for cell in cells if cell)
                if self._shown.get(name) != line:
                    self._shown[name] = line
                    print(f"{name:16} {line}", flush=True)
            return
        width = shutil.get_terminal_size().columns
        if self._height:
            sys.stdout.write(f"\x1b[{self._height}F")
        for name, phase, reason, attempts, message in [("RUN", "PHASE", "REASON", "ATTEMPT", "MESSAGE"), *rows]:
            text = f"{name:16} {phase:10} {reason:16} {attempts:8} {message}"[: width - 1]
            colour = COLOURS.get(phase)
            text = text.replace(phase, f"\x1b[{colour}m{phase}\x1b[0m", 1) if colour else text
            sys.stdout.write(f"\x1b[2K{text}\n")
        sys.stdout.flush()
        self._height = len(rows) + 1


def _row(run: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    status = run["status"]
    attempts = status.get("attempts") or [{}]
    duration = status.get("duration", "")
    return (
        run["metadata"]["name"],
        status["phase"],
        status.get("reason", ""),
        str(attempts[-1].get("number", "")),
        " ".join(filter(None, (duration, status.get("message", "")))),
    )
