"""The tree of processes as /proc has it, and how a part of it is killed.

A process that got SIGKILL can't fork any more, but one that was not seen yet can: the caller repeats until none is left.
``/proc/PID/task/TID/children`` isn't there in each kernel, so parents are read from ``/proc/PID/stat``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Collection, NamedTuple, Optional


class Process(NamedTuple):
    """A line of /proc/PID/stat, as far as it is needed."""

    pid: int
    state: str
    parent: int
    group: int
    started: int
    """In ticks since the boot: with the pid it names one process."""

    @property
    def over(self) -> bool:
        """Whether it has ended, and its children have another parent."""
        return self.state in ("Z", "X")


def read_process(pid: int) -> Optional[Process]:
    """What /proc has of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
        # The name stands in brackets and may have any character.
        fields = data[data.rindex(b")") + 2 :].split()
        return Process(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


def started_at(pid: int) -> float:
    """When a process was started, by this node's clock: seconds since the epoch. 0 for one that is gone.

    The operator compares it with what the node reports of the container: the status of one that was restarted just now may still
    name the container before.
    """
    process = read_process(pid)
    if process is None:
        return 0.0
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def children_by_parent() -> dict[int, list[Process]]:
    """All processes that can be seen, by their parents."""
    found: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            process = read_process(int(name))
            if process is not None:
                found.setdefault(process.parent, []).append(process)
    return found


def kill_descendants(pid: int, *, spared: Collection[int] = (), spared_groups: Collection[int] = ()) -> int:
    """Send SIGKILL to the children of ``pid``, but for those that are spared, and to all below them. How many were alive."""
    tree = children_by_parent()
    waiting = [child for child in tree.get(pid, ()) if child.pid not in spared]
    killed = 0
    while waiting:
        process = waiting.pop()
        waiting.extend(tree.get(process.pid, ()))
        if process.over:
            continue
        killed += 1
        # The whole group at once: nothing in it can fork in between.
        if process.group not in spared_groups and process.group > 1:
            with contextlib.suppress(OSError):
                os.killpg(process.group, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)
    return killed
