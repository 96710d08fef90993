"""Knowing our own processes for sure: a pid alone may be another process's by now, so its start time goes with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from . import waiting

MARK = "TIDEGATE_NODE"
"""The variable in the environment of all that we start; its value is the node's directory."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, distinguished from a later one with its pid."""

    pid: int
    started: int
    """Clock ticks from boot to its start: field 22 of /proc/PID/stat."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now; a zombie counts as gone."""
        fields = _stat(pid)
        return cls(pid=pid, started=int(fields[19])) if fields and fields[0] not in "ZX" else None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The process recorded in a file."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still is this process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def children(self) -> list[Process]:
        """The processes it started."""
        found = []
        for pid in _pids():
            fields = _stat(pid)
            if fields and int(fields[1]) == self.pid and (child := Process.of(pid)):
                found.append(child)
        return found


def marked(directory: Path) -> list[Process]:
    """All processes started for nodes in a directory, recorded or not: `up` may have died before it wrote one down."""
    prefix = f"{MARK}={directory}/".encode()
    found = []
    for pid in _pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        process = Process.of(pid)
        if process and pid != os.getpid() and any(variable.startswith(prefix) for variable in environment):
            found.append(process)
    return found


def in_space_of(first: int, *, inner: int) -> Process | None:
    """The process that has the pid `inner` in the process space of the process with the pid `first`."""
    space = _space(first)
    for pid in _pids():
        if _space(pid) == space and _inner_pid(pid) == inner:
            return Process.of(pid)
    return None


def kill_marked(directory: Path) -> None:
    """Kill all that was started for nodes in a directory, and what that starts meanwhile."""
    seen: set[Process] = set()

    def gone() -> bool:
        # A process that is ending has no environment any more, but still holds its mounts and links: hence `seen`.
        seen.update(marked(directory))
        left = [process for process in seen if process.alive]
        for process in left:
            process.signal(signal.SIGKILL)
        return not left

    waiting.until(gone, what=f"the processes of {directory} to end", seconds=30, every=0.02)


def _space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _inner_pid(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "0")
    return int(line.split()[-1])


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()  # the name in parentheses may hold anything
