"""SIGTERM in the process of a task: the request to stop, which becomes RunCancelled in the task.

Only this process has the handler. A child that is forked gets SIGTERM's default back before it runs a line of its own, so
that ``Pool.terminate`` ends it, and so that a child never runs what belongs to its parent. (Programs that are started by
exec have the default in any case.)
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Callable, Optional, Union

from tidegate.errors import RunCancelled

if TYPE_CHECKING:
    import asyncio

AGAIN_SECONDS = 0.01
"""Until a signal comes again that came at a fork."""
MOST_AGAIN = 50
"""Times that it comes again while it isn't heard: a call that doesn't look at signals ends with the next that does."""
INSIST_SECONDS = 0.1
"""Until a signal comes again whose handler wasn't called."""


class Interruption:
    """What SIGTERM does at the moment, and whether it has come."""

    def __init__(self) -> None:
        self.received = False
        """Whether the task was asked to stop. An exception of the task's own is no cancellation without it."""
        self.missed = False
        """Whether that came when nothing was to be interrupted."""
        self._pid = os.getpid()
        self._action: Callable[[], object] = _raise
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._pipe = (-1, -1, -1)
        """Of a coroutine's loop: where it reads, where signals write, and what was set before."""
        self._calls = 0
        """Of the handler."""
        self._insists = False
        self._masks: dict[int, set[Union[int, signal.Signals]]] = {}
        """By thread: the signals that were blocked before it forked."""

    def install(self) -> None:
        """Take SIGTERM, in this process alone."""
        signal.signal(signal.SIGTERM, self._arrived)
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)

    @property
    def in_child(self) -> bool:
        """Whether this is a forked child, which came here by returning out of the task."""
        return os.getpid() != self._pid

    def ignore(self) -> None:
        """What comes now must not interrupt the cleaning up."""
        self._action = _nothing

    def then(self, action: Callable[[], object]) -> None:
        """Have the signal call ``action``, each time."""
        self._action = action

    def insist(self) -> None:
        """From now on a signal interrupts also what the main thread began to wait for as it came.

        Python calls handlers between two steps of the main thread. One whose signal comes after the last of them, and before the
        wait, would be called when the wait is over: such a signal is sent once more.
        """
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._insists = True
        threading.Thread(target=self._send_again, args=(read,), name="tidegate-sigterm", daemon=True).start()

    def _send_again(self, read: int) -> None:
        while True:
            calls = self._calls
            if signal.SIGTERM in os.read(read, 64):
                time.sleep(INSIST_SECONDS)
                if self._calls == calls:
                    os.kill(self._pid, signal.SIGTERM)

    def enter_loop(self, loop: asyncio.AbstractEventLoop, cancel: Callable[[], object]) -> None:
        """While a coroutine runs: it is interrupted where it awaits, and its own handlers see an ordinary cancellation."""
        if threading.current_thread() is not threading.main_thread():
            return
        # Not by loop.add_signal_handler: its removal leaves SIGTERM's default behind for a moment, which ends the process.
        # The descriptor wakes the loop, also when another thread got the signal or a select was about to begin.
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        loop.add_reader(read, os.read, read, 4096)
        self._loop, self._pipe, self._action = loop, (read, write, signal.set_wakeup_fd(write)), cancel

    def leave_task(self) -> None:
        """The coroutine has ended: a signal interrupts what its loop still waits for."""
        if self._loop is not None and self._action is not _nothing:
            self._action = _raise

    def leave_loop(self) -> None:
        """The loop runs no more, and is still open."""
        if self._loop is None:
            return
        read, write, before = self._pipe
        signal.set_wakeup_fd(before)
        self._loop.remove_reader(read)
        self._loop = None
        os.close(read)
        os.close(write)

    def _arrived(self, _: object, frame: Optional[FrameType]) -> None:
        self._calls += 1
        if self._is_at_fork(frame):
            # Python ignores what is raised there: it comes again, when the fork is done.
            again = threading.Thread(
                target=self._send_until_heard, args=(self._calls,), name="tidegate-sigterm", daemon=True
            )
            again.start()
            return
        action = self._action
        if action is _nothing:
            self.missed = True
            return
        if action is _raise or self._loop is not None:
            self._action = _nothing  # what unwinds the task is not interrupted again
        self.received = True
        action()

    def _send_until_heard(self, calls: int) -> None:
        """Send the signal until its handler is called: what the main thread has begun to wait for meanwhile, the first may not end."""
        for pause in (AGAIN_SECONDS, *(INSIST_SECONDS,) * MOST_AGAIN):
            time.sleep(pause)
            if self._calls != calls or signal.getsignal(signal.SIGTERM) != self._arrived:
                return  # it is heard, or the task's own
            os.kill(self._pid, signal.SIGTERM)

    def _is_at_fork(self, frame: Optional[FrameType]) -> bool:
        """Whether the signal, which was held back for a fork, has come in the function that lets it through."""
        while frame is not None:
            if frame.f_code is Interruption._release.__code__:
                return True
            if frame.f_globals.get("__name__") not in (__name__, "signal"):
                return False
            frame = frame.f_back
        return False

    def _hold(self) -> None:
        # A SIGTERM for the child that comes before it has forgotten the handler would be lost, or be taken for the parent's.
        self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _release(self) -> None:
        mask = self._masks.pop(threading.get_ident(), None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _forget(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self._arrived:  # else it is the task's own
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._loop is not None or self._insists:
            signal.set_wakeup_fd(-1)  # the parent listens at its other end
        self._release()


def _raise() -> None:
    raise RunCancelled("SIGTERM")


def _nothing() -> None:
    """Nothing is to be interrupted."""
