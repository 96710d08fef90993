"""The end of the process, as of any Python program: threads that aren't daemons, exit handlers, buffers of open files.

The outcome stands before that. What goes wrong now doesn't change it, but for SIGTERM while there is still work to wait for:
then the attempt was stopped. After a cancellation nothing is waited for.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import Any, Callable, Optional

from tidegate import streams, usage
from tidegate.current import slot
from tidegate.interruption import Interruption

GRACE_SECONDS = 1.0
"""What threads have to end after a SIGTERM that came before the outcome stood, and did not change it."""


class Ending:
    """Made before the task is imported: exit handlers run in reverse, so that the one made here is the last."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._stopped: Callable[[], int] = lambda: 0
        self._code: Optional[int] = None
        """The exit code, once the outcome stands."""
        self._in_handlers = self._cut = self._over = False
        atexit.register(self._after_handlers)

    def begin(self, code: int, *, stopped: Callable[[], int]) -> None:
        """The outcome stands, and Python may end. ``stopped`` changes it to that of a stopped attempt; its exit code."""
        self._code, self._stopped = code, stopped
        atexit.register(self._before_handlers)
        self._interruption.then(self._stop)
        if _is_waited_for():
            self._interruption.insist()
        if self._interruption.missed or self._interruption.received:
            again = threading.Timer(GRACE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
            again.daemon = True
            again.start()

    def at_once(self, code: int) -> None:
        """End without waiting for threads: exit handlers run, child processes are ended."""
        self._interruption.ignore()
        self._code = code
        _end_children()
        try:
            atexit._run_exitfuncs()
        except BaseException as error:  # the last one that a handler raised, on older Pythons
            streams.show(error)
        self._after_handlers()
        os._exit(code)

    def _stop(self) -> None:
        if not self._in_handlers:
            self._interruption.ignore()
            self.at_once(self._stopped())  # in the signal's handler: it doesn't return to what was waited for
        elif _end_children():
            # multiprocessing waits for them in an exit handler of its own. Other handlers do their work to its end.
            self._cut = True

    def _before_handlers(self) -> None:
        self._in_handlers = True

    def _after_handlers(self) -> None:
        if self._over or self._interruption.in_child:
            return
        self._over = True
        self._interruption.ignore()
        code = self._stopped() if self._cut else None
        if self._code is not None:
            usage.report(succeeded=(self._code if code is None else code) == 0)
        slot.close()
        streams.flush()
        if code is not None:
            os._exit(code)


def _is_waited_for() -> bool:
    """Whether there are threads or processes that Python waits for at its end."""
    main = threading.main_thread()
    return any(not t.daemon and t is not main for t in threading.enumerate()) or any(not c.daemon for c in _children())


def _children() -> list[Any]:
    """The processes of multiprocessing."""
    module = sys.modules.get("multiprocessing.process")
    return module.active_children() if module is not None else []


def _end_children() -> bool:
    """End the processes of multiprocessing; whether there were some that are waited for."""
    children = _children()
    for child in children:
        child.terminate()
    return any(not child.daemon for child in children)
