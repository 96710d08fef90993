"""Exceptions of the library: those that a task raises to end its attempt, and those that report what can't be done.

All of them survive pickling and copying, so that they come out of a process pool as they went in.

    TidegateError
    ├── AbortRun, RetryAfter                        raised by a task
    ├── NeedsApi, ApiError, RunFailed               raised by a call in a task
    ├── ConfigurationError, NotInRun                nothing to ask, or no run to ask about
    └── PayloadError, EntrypointError               the task can't be called
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Callable, Optional, SupportsFloat, Union

if TYPE_CHECKING:
    import datetime as dt

MOST_RETRY_SECONDS = 31_536_000
"""A year: the bound of seconds in the contract."""


class TidegateError(Exception):
    """What all exceptions of the library but RunCancelled are."""

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[object, ...]]:
        # The default calls the class with ``args``, which fails where __init__ takes other arguments: the error is lost,
        # and a pool waits for it for ever.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class AbortRun(TidegateError):
    """Fail the run now: no further attempt would do better. The exit code is 64."""


class RetryAfter(TidegateError):
    """Fail this attempt, and start the next one only after ``seconds``. The exit code is 65.

    ``seconds`` is a number from 0 to 31,536,000 (a year) or a ``timedelta``; a fraction is rounded up. TypeError or
    ValueError for anything else: the attempt then fails as by any other exception.
    """

    def __init__(self, seconds: Union[SupportsFloat, dt.timedelta], message: object = "") -> None:
        self.seconds: int = retry_seconds(seconds, message)
        super().__init__(str(message or "") or f"retry after {self.seconds} s")


def retry_seconds(seconds: object, message: object = "") -> int:
    """A delay in whole seconds, within the contract's bound."""
    why = f" ({message})" if message else ""
    if hasattr(seconds, "total_seconds"):  # datetime isn't imported for this
        seconds = seconds.total_seconds()
    if isinstance(seconds, (bool, str, bytes)) or not isinstance(seconds, SupportsFloat):
        kind = type(seconds).__name__
        raise TypeError(f"RetryAfter takes a number of seconds or a timedelta, not {kind}{why}")
    try:
        number = float(seconds)
    except OverflowError:
        number = math.inf
    if not 0 <= number <= MOST_RETRY_SECONDS:
        raise ValueError(f"RetryAfter takes 0 to {MOST_RETRY_SECONDS:,} seconds (a year), not {number:.15g}{why}")
    return math.ceil(number)


class RunCancelled(BaseException):
    """Raised inside a task when its pod is asked to stop (SIGTERM): cancelled, timed out, or moved to another node.

    Not an ``Exception``, so that ``except Exception`` in a task does not swallow it. Let it pass: ``finally`` blocks and the
    task's ``on_cancel`` hooks run within the pod's grace period.
    """


class NeedsApi(TidegateError):
    """The call needs Tidegate's web app, and none is installed. No further attempt would have it: the exit code is 64."""


class NotInRun(TidegateError, RuntimeError):
    """There is no run here to ask about: the code runs neither in a run's pod nor under ``tidegate.testing``."""


class ApiError(TidegateError):
    """The web app or Kubernetes refused a request, or could not be reached for as long as there was time."""

    def __init__(self, message: str, *, status: Optional[int] = None, tries: int = 1, lost: bool = False) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status of the last answer, None when there was none."""
        self.tries = tries
        """How often it was asked."""
        self.lost = lost
        """Whether it was sent and no answer came: it may have been done."""


class RunFailed(TidegateError):
    """What ``Handle.result()`` raises for a run that ended in any phase but Succeeded."""

    def __init__(self, name: str, phase: str, reason: str = "", message: str = "") -> None:
        why = ": ".join(part for part in (reason, message) if part)
        super().__init__(f"run {name} is {phase}" + (f" ({why})" if why else ""))
        self.name, self.phase, self.reason, self.message = name, phase, reason, message


class ConfigurationError(TidegateError):
    """Nothing says where runs go: neither the API nor a cluster is configured, or only half of it is."""


class PayloadError(TidegateError):
    """The payload doesn't fit the task's arguments. It never will, so the run is not retried."""


class EntrypointError(TidegateError):
    """The entrypoint can't be imported or isn't a task. It never will be, so the run is not retried."""
