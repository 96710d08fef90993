"""The run that this process works for: who it is, how much time it has, and what it reports.

A pod runs one task, so there is one run a process; ``tidegate.testing`` puts another in its place while a test runs.
"""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any, Optional, SupportsFloat

from tidegate import streams
from tidegate.connections import Connection, from_environment
from tidegate.errors import NotInRun
from tidegate.results import plain

MARGIN_SECONDS = 3.0
"""What is kept of an attempt's time to report why it failed, rather than be killed."""
MESSAGE_LENGTH = 200


class Run:
    """The run, as its task sees it."""

    def __init__(
        self,
        *,
        name: str,
        uid: str,
        project: str,
        task: str,
        queue: str,
        attempt: int,
        max_attempts: int,
        timeout_seconds: Optional[float],
        connection: Connection,
    ) -> None:
        self.name = name
        """The name of the TaskRun."""
        self.uid = uid
        self.project = project
        """The namespace."""
        self.task = task
        """The name of its Task; empty for an inline one."""
        self.queue = queue
        self.attempt = attempt
        """The number of this attempt, from 1. It counts disruptions too, so it may exceed ``max_attempts``."""
        self.max_attempts = max_attempts
        """How many attempts may fail."""
        self.metadata = Metadata(self)
        """What people see beside the progress: ``metadata.set``, ``append``, ``increment``."""
        self.connection = connection
        self._ends = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._checkpoint: Optional[bytes] = None
        self._has_checkpoint: Optional[bool] = None
        self._warned: set[str] = set()

    @property
    def seconds_left(self) -> Optional[float]:
        """Until this attempt times out; None without a timeout."""
        return None if self._ends is None else max(0.0, self._ends - time.monotonic())

    @property
    def checkpoint(self) -> Any:
        """Where the task was: the last value that this or an earlier attempt has set, any JSON; None at the beginning.

        To set it is to commit it: when the line has run, the next attempt gets it, whatever happens to this pod. Each look
        gives a copy; a change inside it counts once it is set again. At most 1 MiB.
        Raises NeedsApi without the web app, ApiError when it can't be committed before the attempt's time is over.
        """
        if self._has_checkpoint is None:
            self._checkpoint = self.connection.load_checkpoint(seconds=self.time_budget())
            self._has_checkpoint = self._checkpoint is not None
        return None if self._checkpoint is None else json.loads(self._checkpoint)

    @checkpoint.setter
    def checkpoint(self, value: Any) -> None:
        try:
            data = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"the checkpoint is not JSON: {error}") from error
        self.connection.save_checkpoint(data, seconds=self.time_budget())
        self._checkpoint, self._has_checkpoint = data, True

    def progress(self, fraction: SupportsFloat, message: object = "") -> None:
        """Report how far the run is: ``fraction`` from 0 to 1, and a few words. It never waits and never fails.

        Any real number is taken. One beyond 0 or 1 counts as 0 or 1, and what is no number is left out: a warning each.
        """
        number = self._fraction(fraction)
        if number is not None:
            self.connection.report({"progress": number, "message": _words(message)})

    def _fraction(self, given: object) -> Optional[float]:
        try:
            number = float("nan" if isinstance(given, (str, bytes)) else given)  # type: ignore[arg-type]
        except OverflowError:  # an integer beyond all floats
            number = math.inf if given > 0 else -math.inf  # type: ignore[operator]
        except Exception:  # a value's own code can do anything
            number = math.nan
        if math.isnan(number):
            self.warn_once(f"progress takes a number from 0 to 1: a {type(given).__name__} that is none is left out")
            return None
        if not 0 <= number <= 1:
            self.warn_once(
                f"progress takes a number from 0 to 1: {number:g} counts as {min(1, max(0, number)):g}", "range"
            )
        return min(1.0, max(0.0, number))

    def warn_once(self, text: str, kind: str = "") -> None:
        """A line in the log, the first time that there is one of this kind."""
        if (kind or text) not in self._warned:
            self._warned.add(kind or text)
            streams.say(text)

    def time_budget(self) -> Optional[float]:
        """How long something that must be stored may be tried: until a little before the attempt's end."""
        left = self.seconds_left
        return None if left is None else max(0.5, left - min(MARGIN_SECONDS, left / 10))

    def __repr__(self) -> str:
        return f"<run {self.name}, attempt {self.attempt}>"


class Metadata:
    """Named values of a run that people see while it goes on: counts, lists, small facts. Reported by a thread, in order.

    At most 100 keys and 64 KiB. Values are converted as results are; TypeError at the call for one that JSON can't hold.
    They belong to the run: a later attempt goes on with them.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def set(self, key: str, value: object) -> None:
        """Give ``key`` a value."""
        self._change("set", key, value)

    def append(self, key: str, item: object) -> None:
        """Add an item to the list ``key``, which is made when it isn't there."""
        self._change("append", key, item)

    def increment(self, key: str, by: SupportsFloat = 1) -> None:
        """Add to the number ``key``, which begins with 0."""
        if isinstance(by, (bool, str)) or not isinstance(by, SupportsFloat):
            raise TypeError(f"by must be a number, not {by!r}")
        amount = plain(by, what=f"the amount for metadata {key!r}") if hasattr(by, "__index__") else float(by)
        self._change("increment", key, amount)

    def _change(self, how: str, key: str, value: object) -> None:
        change = {how: {str(key): plain(value, what=f"metadata {key!r}")}}
        self._run.connection.change_metadata(change)


class CurrentMetadata:
    """``metadata.set(…)`` and the like for whatever run goes on here."""

    def set(self, key: str, value: object) -> None:
        """Give ``key`` a value."""
        slot.current_or_detached().metadata.set(key, value)

    def append(self, key: str, item: object) -> None:
        """Add an item to the list ``key``, which is made when it isn't there."""
        slot.current_or_detached().metadata.append(key, item)

    def increment(self, key: str, by: SupportsFloat = 1) -> None:
        """Add to the number ``key``, which begins with 0."""
        slot.current_or_detached().metadata.increment(key, by)


class _Slot:
    """The run of this process: made from the environment at the first look, or put here by a test."""

    def __init__(self) -> None:
        self._run: Optional[Run] = None

    def current_or_detached(self) -> Run:
        """Outside of a run there is one without a name, which reports nothing: a task can be called as a function."""
        if self._run is None:
            self._run = run_from_environment()
        return self._run

    def replace(self, run: Optional[Run]) -> Optional[Run]:
        """Put a run here; what was here before."""
        before, self._run = self._run, run
        return before

    def close(self) -> None:
        """Let what the run reported go out."""
        if self._run is not None:
            self._run.connection.close()


# One a process, as a pod runs one task: what a task calls by a bare name needs somewhere to go.
slot = _Slot()


def run_from_environment() -> Run:
    """The run that the variables of its pod describe. Its time begins now."""
    environment = os.environ
    seconds = float(environment.get("TIDEGATE_TIMEOUT_SECONDS") or 0)
    return Run(
        name=environment.get("TIDEGATE_RUN", ""),
        uid=environment.get("TIDEGATE_RUN_UID", ""),
        project=environment.get("TIDEGATE_NAMESPACE", ""),
        task=environment.get("TIDEGATE_TASK", ""),
        queue=environment.get("TIDEGATE_QUEUE", ""),
        attempt=int(environment.get("TIDEGATE_ATTEMPT") or 1),
        max_attempts=int(environment.get("TIDEGATE_MAX_ATTEMPTS") or 1),
        timeout_seconds=seconds or None,
        connection=from_environment(),
    )


def current_run() -> Run:
    """The run that this code works for. Raises NotInRun where there is none."""
    run = slot.current_or_detached()
    if not run.name:
        raise NotInRun("there is no run here: in tests of your own, call the task by tidegate.testing.run")
    return run


def progress(fraction: SupportsFloat, message: object = "") -> None:
    """Report how far the run is: ``fraction`` from 0 to 1, and a few words. It never waits and never fails."""
    slot.current_or_detached().progress(fraction, message)


def _words(message: object) -> str:
    """A few words of anything, which the web app takes."""
    try:
        text = "" if message is None else str(message)
    except Exception as error:  # a value's own code can do anything
        text = f"<{type(message).__name__}: {type(error).__name__}>"
    return text[:MESSAGE_LENGTH].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
