"""What the policies can ask for: actions, a place in a queue's line, and the moment to be asked again."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from tidegate_api.bodies import TaskRunStatusBody
from tidegate_api.names import DEFAULT_QUEUE

from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.definitions import TaskRecord
from tidegate_operator.records.lenient import as_text
from tidegate_operator.records.run import Cause, RunRecord


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Create the Job of attempt `number`. Its slot is held already."""

    number: int


@dataclass(frozen=True, slots=True)
class FindAttempt:
    """The POST of this attempt's Job was never answered: find out whether it was made."""

    number: int


@dataclass(frozen=True, slots=True)
class CheckPayload:
    """Check the payload against the task's schema."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the whole status."""

    status: TaskRunStatusBody
    decided_on: int
    """Version of the run that says so: on top of a later one the status would be written over what it doesn't know."""
    lazy: bool = False
    """It only reports where the run stands: nothing follows from it, so it may wait while the apiserver is busy."""


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """End the attempt's pod, gracefully, or its Job when no kubelet has it yet."""

    attempt: AttemptRecord
    why: Cause


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the attempt's Job, so that it can't replace its pod."""

    attempt: AttemptRecord


@dataclass(frozen=True, slots=True)
class InspectAttempt:
    """Ask the cluster why the attempt has no running pod."""

    attempt: AttemptRecord
    lazy: bool = False
    """It is late, and nothing else is known: the look may wait while the apiserver is busy."""


@dataclass(frozen=True, slots=True)
class RecoverAttempt:
    """The status has an attempt whose Job is gone: read what is needed to judge it."""

    number: int


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """The finished run is past its TTL."""


Action = (
    StartAttempt
    | FindAttempt
    | CheckPayload
    | WriteStatus
    | StopAttempt
    | DeleteJob
    | InspectAttempt
    | RecoverAttempt
    | DeleteRun
)


@dataclass(slots=True)
class Decision:
    """What to do now, and when to ask again if nothing happens before."""

    actions: list[Action] = field(default_factory=list)
    wake_at: float | None = None
    entry: QueueEntry | None = None
    """The run waits in its queue's line; admission says when its turn has come."""

    def wake(self, at: float | None) -> None:
        """Ask again at `at` at the latest."""
        if at is not None and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at

    @property
    def lazy(self) -> bool:
        """Whether all that is asked for may wait."""
        return bool(self.actions) and all(isinstance(a, WriteStatus | InspectAttempt) and a.lazy for a in self.actions)


def _no_run(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """What a decision may look at beside the run."""

    attempt: AttemptRecord | None = None
    """The one with the highest number."""
    has_orphan_pod: bool = False
    """A pod of the run lives whose Job isn't known (yet, or any more)."""
    first_job: float | None = None
    """When the Job of the first attempt was made, as far as that is known."""
    task: TaskRecord | None = None
    find: Callable[[str], RunRecord | None] = _no_run
    """The run of that name in the namespace."""
    has_dependents: bool = False
    """Whether a run that goes on depends on this one."""
    queue_cause: Cause | None = None
    """What keeps the run from starting, where it waits in its queue's line."""
    max_disruptions: int = 10
    default_ttl: int = 86_400
    look_seconds: float = 5.0
    deletes_due_by: float = math.inf
    """Finished runs that were due by then are the operator's to delete (the mirror deletes, where there is one)."""
    held: bool = False
    """The run's Schedule doesn't record its tick yet: were the run gone, it could be made again."""


def pool_name(run: RunRecord, task: TaskRecord | None) -> str:
    """The WorkerPool that the run needs a slot of; empty for none. Frozen with its first attempt, as its queue is."""
    if run.plan is not None:
        return run.plan.pool
    return run.inline_pool or (as_text(task.spec.get("pool")) if task is not None else None) or ""


def queue_name(run: RunRecord, task: TaskRecord | None) -> str:
    """The queue that the run waits in: frozen with its first attempt, read from its Task before."""
    if run.plan is not None:
        return run.plan.queue
    return run.queue or (as_text(task.spec.get("queue")) if task is not None else None) or DEFAULT_QUEUE
