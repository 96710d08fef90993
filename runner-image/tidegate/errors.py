"""Exceptions by which a task speaks to its supervisor, and by which the library tells what can't be done."""

from __future__ import annotations

from typing import Optional


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


class NeedsApi(Exception):
    """The call needs Tidegate's web part, and none is installed. No further attempt would have it: the exit code is 64."""


class NotInRun(RuntimeError):
    """There is no run here to ask about: the code runs neither in a run's pod nor under ``tidegate.testing``."""


class ApiError(Exception):
    """The web part or Kubernetes refused a request, or could not be reached for as long as there was time."""

    def __init__(self, message: str, *, status: Optional[int] = None, tries: int = 1, lost: bool = False) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of the last answer, None when there was none."""
        self.tries = tries
        """How often it was asked."""
        self.lost = lost
        """Whether it was sent and no answer came: it may have been done."""


class RunFailed(Exception):
    """What ``Handle.result()`` raises for a run that ended in any phase but Succeeded."""

    def __init__(self, name: str, phase: str, reason: str = "", message: str = "") -> None:
        why = ": ".join(part for part in (reason, message) if part)
        super().__init__(f"run {name} is {phase}" + (f" ({why})" if why else ""))
        self.name, self.phase, self.reason, self.message = name, phase, reason, message


class ConfigurationError(Exception):
    """Nothing says where runs go: neither the API nor a cluster is configured, or only half of it is."""


class PayloadError(Exception):
    """The payload doesn't fit the task's arguments. It never will, so the run is not retried."""


class EntrypointError(Exception):
    """The entrypoint can't be imported or isn't a task. It never will be, so the run is not retried."""
