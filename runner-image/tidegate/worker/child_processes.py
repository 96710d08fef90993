"""Processes that wait for a run: a subreaper with the run's process below it. One is made ahead, so that a hand-over forks nothing.

What a child is to run is sent to the run's process alone, over a socket that is closed when it is to run; the subreaper has another.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
from typing import Optional, Sequence

from tidegate.worker import messages, processes
from tidegate.worker.loop import Loop
from tidegate.worker.messages import Note
from tidegate.worker.zygote_process import ZygoteProcess


class Child:
    """A subreaper and the process below it."""

    def __init__(self, name: str, control: socket.socket, job: socket.socket) -> None:
        self.name, self.control, self._job = name, control, job
        self.forking = True
        """Whether the zygote has not answered yet."""
        self.problem = ""
        """Why there is none."""
        self._process: Optional[processes.Process] = None

    @property
    def pid(self) -> int:
        """Of the subreaper, 0 when it isn't known."""
        return self._process.pid if self._process is not None else 0

    def forked(self, pid: int) -> None:
        """The zygote has made it."""
        self.forking, self._process = False, processes.read_process(pid)

    def failed(self, problem: str) -> None:
        """The zygote has not."""
        self.forking, self.problem = False, problem

    def hand(self, descriptors: Sequence[int]) -> None:
        """Give its process what it is to run. One that is gone is noticed by its end."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._job, [messages.JOB], list(descriptors))

    def go(self) -> None:
        """Have its process run that. One that is gone, or closed, is noticed by its end."""
        with contextlib.suppress(OSError):
            self._job.send(messages.GO)
        self._job.close()

    def lives(self) -> bool:
        """Whether the subreaper is there, so that processes below it are not the worker's yet."""
        known = self._process
        found = None if known is None else processes.read_process(known.pid)
        return known is not None and found is not None and found.started == known.started and not found.over

    def kill(self) -> None:
        """End the subreaper, which leaves what is below it to the worker."""
        if self._process is not None and self.lives():
            with contextlib.suppress(OSError):
                os.kill(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Say no more to it: it ends with all that is below it."""
        self.control.close()
        self._job.close()


class Children:
    """All of them, and the one that waits."""

    def __init__(self, zygote: ZygoteProcess, loop: Loop) -> None:
        self._zygote, self._loop = zygote, loop
        self._numbers = itertools.count(1)
        self._known: dict[str, Child] = {}
        self._spare: Optional[Child] = None

    def pids(self) -> set[int]:
        """Of all subreapers."""
        return {child.pid for child in self._known.values() if child.pid}

    def take(self) -> Child:
        """One for a run. OSError when there can't be another."""
        child, self._spare = self._spare or self._make(), None
        self._loop.forget(child.control.fileno())
        return child

    def refill(self) -> None:
        """Have one made ahead."""
        if self._spare is None and self._zygote.alive and self._zygote.ready:
            with contextlib.suppress(OSError):  # without one the next run waits for its fork
                spare = self._spare = self._make()
                # One that says something is of no use.
                self._loop.watch_reading(spare.control.fileno(), lambda: self._discard(spare))

    def release(self, child: Child) -> None:
        """A run is over."""
        self._known.pop(child.name, None)

    def noted(self, note: Note) -> None:
        """The zygote has answered."""
        child = self._known.get(note.subject)
        if child is None:
            return
        if note.kind == messages.FORKED:
            child.forked(note.number)
        elif note.kind == messages.UNFORKED:
            child.failed(note.text)

    def zygote_is_gone(self) -> None:
        """What was being forked will not be, or is an orphan."""
        for child in self._known.values():
            child.forking = False

    def _discard(self, child: Child) -> None:
        if self._spare is child:
            self._spare = None
        self._loop.forget(child.control.fileno())
        child.close()
        self.release(child)

    def _make(self) -> Child:
        control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            job, its_job = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            control.close()
            its_control.close()
            raise
        control.setblocking(False)
        job.setblocking(False)
        child = Child(f"child-{next(self._numbers)}", control, job)
        self._known[child.name] = child
        self._zygote.ask(Note(messages.FORK, child.name), [its_control.detach(), its_job.detach()])
        return child
