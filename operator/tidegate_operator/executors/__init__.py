"""How an attempt is started, stopped and observed. The policies never know which executor does it.

An attempt is a Job (`job.py`), or a process in a warm worker (`pool.py`); `routing.py` picks. What ends an attempt is the same
record either way.
"""

from typing import Final, Protocol

from tidegate_api.bodies import TaskRunBody, TaskRunStatusBody, TaskSpecBody

from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import Cause, RunRecord

REFUSED_PAUSE: Final = 5.0
"""Seconds until an attempt that the cluster refused is tried again."""


class StartRefusedError(Exception):
    """The cluster would not take the attempt.

    `final`: trying again is of no use, the run ends with `refusal`; else the run waits with it, for `pause` seconds. Not `sure`:
    it may have been made all the same.
    """

    def __init__(self, refusal: Cause, *, final: bool = False, sure: bool = True, pause: float = REFUSED_PAUSE) -> None:
        super().__init__(refusal.message)
        self.refusal, self.final, self.sure, self.pause = refusal, final, sure, pause


class Executor(Protocol):
    """One way to carry attempts out."""

    async def start(self, run: RunRecord, body: TaskRunBody, resolved: TaskSpecBody, *, number: int) -> None:
        """Start attempt `number`; started already is fine. Raises StartRefusedError."""

    async def find(self, run: RunRecord, *, number: int) -> bool:
        """Whether attempt `number` is there after all; if so it is in the cache, and so is what is left of one that was."""

    async def frozen_spec(self, attempt: AttemptRecord) -> TaskSpecBody | None:
        """The resolved TaskSpec that an earlier attempt was made from, if it is still known."""

    async def stop(self, attempt: AttemptRecord, why: Cause) -> None:
        """End the attempt gracefully. Its logs stay readable where a pod ever ran."""

    async def discard(self, attempt: AttemptRecord) -> None:
        """Take the attempt away, so that nothing of it can start again."""

    async def inspect(self, attempt: AttemptRecord) -> None:
        """Find out how the attempt stands, and why it doesn't run."""

    def recorded(self, run: RunRecord, status: TaskRunStatusBody) -> None:
        """A status was written that may say how an attempt ended."""

    async def recover(self, run: RunRecord, *, number: int, job_name: str, resolved: TaskSpecBody | None) -> bool:
        """Find an attempt that the status has; False while something of it may still run."""
