"""A thread that says that it makes progress.

A thread that has ended leaves a mirror that leads and stores nothing, with metrics as fresh as ever; so does one that waits for ever.
Each long-lived thread is therefore a ``Worker``: it beats whenever it gets somewhere, also when that is only another try, and
``mirror.term.Term`` looks at all of them every second.
"""

import threading
import time

import structlog

log = structlog.stdlib.get_logger(__name__)

PATIENCE_SECONDS = 60.0
"""A worker that doesn't beat for so long is stuck. Statements and requests time out after 30 s at most."""


class Worker(threading.Thread):
    """Its ``work`` returns when ``stop`` is set, and not before."""

    def __init__(self, *, name: str, stop: threading.Event, patience_seconds: float | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self.stop_event = stop
        self._patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        self._beaten = time.monotonic()

    def work(self) -> None:
        """What the thread does; to be written by each kind of worker."""
        raise NotImplementedError

    def beat(self) -> None:
        """Say that there was progress."""
        self._beaten = time.monotonic()

    def run(self) -> None:
        self.beat()
        try:
            self.work()
        except BaseException:
            # Recorded here for `trouble`: nothing else waits for a thread.
            log.exception("a thread has ended", thread=self.name)

    def trouble(self) -> str | None:
        """Why the worker can't be relied on, None while it is well."""
        if self.stop_event.is_set() or self.ident is None:
            return None
        if not self.is_alive():
            return f"thread {self.name} has ended"
        silent = time.monotonic() - self._beaten
        return f"thread {self.name} has made no progress for {silent:.0f} s" if silent > self._patience else None


def beat_here() -> None:
    """Let the worker that runs this beat: it waits for another one, whose own beats show whether that is well."""
    thread = threading.current_thread()
    if isinstance(thread, Worker):
        thread.beat()
