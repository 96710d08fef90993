"""Exceptions by which a task speaks to its supervisor."""

from __future__ import annotations


class AbortRun(Exception):
    """Fail the run now: no further attempt would do better. The exit code is 64."""


class RetryAfter(Exception):
    """Fail this attempt, and start the next one only after ``seconds``. The exit code is 65."""

    def __init__(self, seconds: int, message: str = "") -> None:
        if seconds < 0:
            raise ValueError(f"seconds must not be negative: {seconds}")
        super().__init__(message or f"retry after {seconds} s")
        self.seconds = seconds


class RunCancelled(BaseException):
    """Raised inside a task when its pod is told to stop (SIGTERM): cancelled, timed out, or moved to another node.

    Not an ``Exception``, so that ``except Exception`` in a task does not swallow it. Let it pass: ``finally`` blocks and the
    task's ``on_cancel`` hooks run within the pod's grace period.
    """


class PayloadError(Exception):
    """The payload doesn't fit the task's arguments. It never will, so the run is not retried."""


class EntrypointError(Exception):
    """The entrypoint can't be imported or isn't a task. It never will be, so the run is not retried."""
