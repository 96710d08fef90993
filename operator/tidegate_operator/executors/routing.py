"""Which executor carries an attempt out: a run with a pool goes to a worker, every other gets a Job."""

from tidegate_api.bodies import TaskRunBody, TaskRunStatusBody, TaskSpecBody

from tidegate_operator.executors import Executor
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import Cause, RunRecord


class RoutingExecutor:
    """One executor for both kinds of attempts."""

    def __init__(self, *, job: Executor, pool: Executor) -> None:
        self._job, self._pool = job, pool

    async def start(self, run: RunRecord, body: TaskRunBody, resolved: TaskSpecBody, *, number: int) -> None:
        """By the TaskSpec that the attempt follows."""
        executor = self._pool if resolved.get("pool") else self._job
        await executor.start(run, body, resolved, number=number)

    async def find(self, run: RunRecord, *, number: int) -> bool:
        """By what the run was let in for."""
        executor = self._pool if run.tracked.worker is not None else self._job
        return await executor.find(run, number=number)

    async def frozen_spec(self, attempt: AttemptRecord) -> TaskSpecBody | None:
        """By the attempt."""
        return await self._of(attempt).frozen_spec(attempt)

    async def stop(self, attempt: AttemptRecord, why: Cause) -> None:
        """By the attempt."""
        await self._of(attempt).stop(attempt, why)

    async def discard(self, attempt: AttemptRecord) -> None:
        """By the attempt."""
        await self._of(attempt).discard(attempt)

    async def inspect(self, attempt: AttemptRecord) -> None:
        """By the attempt."""
        await self._of(attempt).inspect(attempt)

    def recorded(self, run: RunRecord, status: TaskRunStatusBody) -> None:
        """Each takes what is its own."""
        self._job.recorded(run, status)
        self._pool.recorded(run, status)

    async def recover(self, run: RunRecord, *, number: int, job_name: str, resolved: TaskSpecBody | None) -> bool:
        """A hand-over needs none: what the status says of it is under way as soon as it is read."""
        return await self._job.recover(run, number=number, job_name=job_name, resolved=resolved)

    def _of(self, attempt: AttemptRecord) -> Executor:
        return self._pool if attempt.handover is not None else self._job
