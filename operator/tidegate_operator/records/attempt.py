"""Compact records of attempts: a Job of a run, and its pods."""

from dataclasses import dataclass, field

from tidegate_operator.records.pool import Handover
from tidegate_operator.records.run import Cause, Plan, Worker
from tidegate_operator.records.usage import Usage

TASK_ENDED = Cause("TaskEnded", "the container task has ended, and others of its pod have not")
"""Why a pod is stopped whose task is done: its end is the task's own. The reason stands on the pod alone."""


@dataclass(slots=True)
class PodRecord:
    """One pod of an attempt."""

    uid: str
    """Of a process in a worker: that of the hand-over."""
    name: str
    version: int
    job_uid: str
    phase: str
    created: float
    received: float
    """When its present phase, and how far `task` is in it, was first seen, by this process's clock."""
    node: str | None = None
    reason: str | None = None
    message: str | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    termination_reason: str | None = None
    termination_message: str = ""
    waiting: Cause | None = None
    """What a container of the pod, of whatever kind, waits for; None for what only says: not yet."""
    others: str | None = None
    """Which ordinary containers beside `task` have not ended, and what they wait for."""
    grace: int = 30
    """terminationGracePeriodSeconds."""
    stop_asked: float | None = None
    """When the deletion or disruption of the pod was asked for, by the apiserver's clock."""
    deadline_at: float | None = None
    """When the kubelet ends the pod by the deadline that it was made with, by the node's clock."""
    accepted: float | None = None
    """When the kubelet took the pod on (`status.startTime`), by the node's clock."""
    accepted_seen: float | None = None
    """When this process first saw that it had, by its own clock."""
    stop_floor: float | None = None
    """No stop of ours reached the pod before this, by the node's clock."""
    image: str | None = None
    image_id: str | None = None
    scheduling_message: str | None = None
    scheduled: float | None = None  # by the scheduler's clock: it can't have started before
    disrupted: bool = False
    deleting: bool = False
    unreachable: bool = False
    """Its node doesn't answer: whether it still runs can't be known."""
    stop_reason: str | None = None
    containers: int = 1
    """Containers of its pod, which share what the kubelet keeps of termination messages; 0: a process in a worker."""
    usage: Usage | None = None
    """Of a process in a worker; a pod reports its own in the termination message."""
    result_too_large: bool = False
    """Whether a worker had to leave out its result."""
    failed_before: str | None = None
    """Where `task` never ran and the pod failed: which init container it was, and how it ended."""
    gone: bool = False

    @property
    def terminal(self) -> bool:
        """Whether its containers run no more, for good."""
        return self.gone or self.phase in ("Succeeded", "Failed")

    def stop_floor_at(self, now: float) -> float | None:
        """The earliest time of the node's clock that it can be `now`: so long after the pod was taken on as has passed here since
        that was first seen. None where it wasn't seen."""
        if self.accepted is None or self.accepted_seen is None:
            return None
        return self.accepted + max(0.0, now - self.accepted_seen)

    @property
    def running(self) -> bool:
        """Whether the container `task` was started and the pod has not ended.

        A pod is Pending for as long as one of its containers waits, also while `task` runs.
        """
        return not self.terminal and (self.phase == "Running" or (self.phase == "Pending" and self.started is not None))

    @property
    def task_ended(self) -> bool:
        """Whether `task` has ended, and others of the pod have not."""
        return self.running and self.exit_code is not None


@dataclass(slots=True)
class AttemptRecord:
    """One attempt of a run: its Job and that one's pods, or a hand-over to a worker and the process that runs there.

    The process stands in `pods` as if it were a pod of its own: what ends an attempt is the same record either way.
    """

    run_uid: str
    namespace: str
    number: int
    job_name: str
    job_uid: str
    created: float
    plan: Plan
    key: str = ""
    """concurrencyKey of its run. The run may be gone."""
    handover: Handover | None = None
    """The worker that it was given to; None for an attempt with a Job."""
    after_oom: bool = False
    """Whether an attempt before it ran out of memory."""
    plan_known: bool = True
    """False while the Job that holds the plan hasn't been read."""
    unconfirmed_until: float = 0.0
    """Its Job was sent and never answered, and its run is gone: until then it may still appear. 0: it is known."""
    pods: dict[str, PodRecord] = field(default_factory=dict)
    job_gone: bool = False
    job_ended: bool = False
    """Whether its Job was seen complete or failed. It makes no other pod."""
    inspected_at: float = 0.0
    inspections: int = 0
    """Looks in a row that found no running pod: each waits longer than the one before."""
    unwatched: bool = False
    """A pod of it has left the watch's selector while it lived: no event will report its end."""
    trouble: Cause | None = None
    """What the cluster says about a pod that isn't there or doesn't start."""
    trouble_since: float = 0.0
    hold: Cause | None = None
    """What keeps its Job from making a pod through no fault of its own: a quota, or someone who has suspended the Job. The
    clock of its start stands still meanwhile."""
    hold_until: float = 0.0
    """When that was last seen: the clock starts from then."""
    suspended: bool = False
    """Whether its Job was suspended by another controller when it was last looked at: it makes another pod once it is resumed."""
    spec_hash: str | None = None
    """Of the TaskSpec that its Job carries."""
    recorded_start: float | None = None  # when its container started, by its run's status
    stop: Cause | None = None
    """Why it is being stopped."""
    stopped_pod: str | None = None
    """The pod that was asked to stop; empty when the Job was deleted instead."""

    @property
    def worker(self) -> Worker | None:
        """The worker of which it holds a slot."""
        given = self.handover
        return ((self.namespace, given.pool), given.pod_uid) if given is not None else None

    @property
    def pod(self) -> PodRecord | None:
        """The newest pod."""
        return max(self.pods.values(), key=lambda p: (p.created, p.version), default=None)
