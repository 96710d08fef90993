"""What task authors import: ``from tidegate import task``.

A task is a plain function. In a run, its arguments come from the run's payload, what it returns is the run's result, and an
exception fails the attempt. Standard library only, Python 3.9 and later.
"""

from tidegate.errors import AbortRun, RetryAfter, RunCancelled
from tidegate.reporting import progress
from tidegate.task import Task, task

__all__ = ["AbortRun", "RetryAfter", "RunCancelled", "Task", "progress", "task"]
