"""What task authors import: ``from tidegate import task``.

A task is a plain function. In a run, its arguments come from the run's payload, what it returns is the run's result, and an
exception fails the attempt. Standard library only, Python 3.9 and later.

Beside this there are ``tidegate.client`` (runs from code that is no task), ``tidegate.manifests`` (Task resources from
functions) and ``tidegate.testing`` (tasks in tests of your own).
"""

from tidegate.current import CurrentMetadata, Run, current_run, progress
from tidegate.errors import (
    AbortRun,
    ApiError,
    ConfigurationError,
    NeedsApi,
    NotInRun,
    RetryAfter,
    RunCancelled,
    RunFailed,
)
from tidegate.logs import Log
from tidegate.task import Retry, Task, task

__all__ = [
    "AbortRun",
    "ApiError",
    "ConfigurationError",
    "NeedsApi",
    "NotInRun",
    "Retry",
    "RetryAfter",
    "Run",
    "RunCancelled",
    "RunFailed",
    "Task",
    "current_run",
    "log",
    "metadata",
    "progress",
    "task",
]

metadata = CurrentMetadata()
log = Log()
