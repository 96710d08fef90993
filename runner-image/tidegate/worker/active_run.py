"""One run in the worker's main process: what it was given, the ends of its pipes, its clocks, and how it ended."""

from __future__ import annotations

import contextlib
import os
from typing import Callable, NamedTuple, Optional

from tidegate.usage import Usage
from tidegate.worker import messages
from tidegate.worker.child_processes import Child
from tidegate.worker.lifecycle import Lifecycle, Step
from tidegate.worker.log import Stream, Turns
from tidegate.worker.loop import Loop
from tidegate.worker.messages import Garbage
from tidegate.worker.output import Tail, Written, head_of
from tidegate.worker.protocol import Start

KILLED = -9


class Pipes(NamedTuple):
    """The descriptors of a run: those that stay here, and those that its process gets."""

    out: int
    err: int
    started: int
    given: list[int]


class ActiveRun:
    """A run that holds a slot."""

    def __init__(self, start: Start, directory: str, lifecycle: Lifecycle, *, loop: Loop, turns: Turns) -> None:
        self.start, self.directory, self.lifecycle = start, directory, lifecycle
        self._loop, self._turns = loop, turns
        self._tail, self._written = Tail(), Written()
        self._streams: list[Stream] = []
        self._child: Optional[Child] = None
        self._watching = False
        self._started: Optional[int] = None
        self._lost = False
        """Whether the subreaper is gone without a report."""
        self.start_reported = False
        """Whether its start was reported."""
        self.problem = ""
        """Why there is no process."""
        self.status: Optional[int] = None
        """How its process ended: an exit code, or a signal as a negative number."""
        self.usage: Optional[Usage] = None
        """What its processes have used, where the subreaper could say."""
        self.ended: Optional[float] = None
        """When that was known."""

    @property
    def child(self) -> Optional[Child]:
        """The processes that it has."""
        return self._child

    def prepare(
        self, child: Child, spec: int, changed: Callable[[ActiveRun], None], clock: Callable[[], float]
    ) -> None:
        """Give a child the pipes of this run, and watch the other ends. OSError when it can't be given them."""
        self._child, self._watching = child, True
        pipes = _pipes(spec)
        self._started = pipes.started
        head = head_of(self.start.run, self.start.handover)
        self._streams = [
            Stream(descriptor, head, name, self._tail, self._written)
            for descriptor, name in ((pipes.out, "stdout"), (pipes.err, "stderr"))
        ]
        for stream in self._streams:
            self._turns.add(stream)

        def on_control() -> None:
            self._read_control(clock())
            changed(self)

        def on_started() -> None:
            self._read_started(clock())
            changed(self)

        self._loop.watch_reading(child.control.fileno(), on_control)
        self._loop.watch_reading(pipes.started, on_started)
        try:
            child.hand(pipes.given)
        finally:
            for descriptor in pipes.given:
                os.close(descriptor)

    def go(self, lifecycle: Lifecycle) -> None:
        """Have the child run it. Its clocks begin."""
        self.lifecycle = lifecycle
        if self._child is not None:
            self._child.go()

    def abort(self) -> None:
        """End a child that has run nothing."""
        self._close_control()
        self._close_started()
        self._turns.drop(self._streams)

    def failed(self, why: str, now: float) -> None:
        """There is no process."""
        self.problem = f"the worker can't start the run: {why}"
        self._end(1, now)

    def do(self, step: Step) -> None:
        """Stop it."""
        if self._child is None:
            return
        if step is Step.ABANDON:
            self._child.kill()
        elif self._watching:
            with contextlib.suppress(OSError):  # gone or stuck: what comes next is harder
                self._child.control.send(messages.TERMINATE if step is Step.TERMINATE else messages.KILL)

    def look_for_loss(self, orphans: Callable[[], bool], now: float) -> bool:
        """When the subreaper was killed: end once no process is left; whether to look again."""
        if not self._lost or self.status is not None or self._child is None:
            return False
        # While the subreaper is there, what is below it has not become the worker's yet.
        if self._child.forking or self._child.lives() or orphans():
            return True
        if self._child.problem:
            self.failed(self._child.problem, now)
            return False
        self._end(KILLED, now)
        return False

    def finish_output(self) -> str:
        """Take what it has left in its pipes; the end of all that it has written."""
        self._turns.finish(self._streams, head_of(self.start.run, self.start.handover), self._written)
        return self._tail.text()

    def _read_control(self, now: float) -> None:
        assert self._child is not None
        try:
            data = self._child.control.recv(messages.MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            if data:
                self._read_started(now)
                end = messages.decode_end(data)
                self.usage = end.usage
                self._end(end.status, now)
                return
        except Garbage:
            self._child.kill()
        self._close_control()
        self._lost = True

    def _read_started(self, now: float) -> None:
        if self._started is None:
            return
        try:
            data = os.read(self._started, 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.lifecycle.start(now)
        self._close_started()

    def _end(self, status: int, now: float) -> None:
        if self.status is None:
            self.status, self.ended = status, now
        self._close_control()
        self._close_started()

    def _close_control(self) -> None:
        if self._child is not None and self._watching:
            self._watching = False
            self._loop.forget(self._child.control.fileno())
            self._child.close()

    def _close_started(self) -> None:
        if self._started is not None:
            self._loop.forget(self._started)
            os.close(self._started)
            self._started = None


def _pipes(spec: int) -> Pipes:
    opened: list[int] = [spec]
    try:
        out, out_end = os.pipe()
        opened += [out, out_end]
        err, err_end = os.pipe()
        opened += [err, err_end]
        started, started_end = os.pipe()
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    for descriptor in (out, err, started):
        os.set_blocking(descriptor, False)
    return Pipes(out, err, started, [spec, out_end, err_end, started_end])
