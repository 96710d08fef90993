"""Compact records: what the policies need of an object, and not its body.

A body is a hundred times larger than what a decision reads (a 1.3 kB Job is 10 kB of dicts), and most objects are only
waiting or done. Parsing happens once, when an event comes in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from tidegate_api import ticks
from tidegate_api.names import (
    DEFAULT_QUEUE,
    Phase,
    Reason,
)

from tidegate_operator.timestamps import parse_time

Json = dict[str, Any]

STOP_ANNOTATION = "tidegate.dev/stop-reason"
"""On a pod that the supervisor stops: why. The stop outlives the supervisor, so its reason must too."""


LATE_WRITE_SECONDS = 5.0
"""A POST that was not answered can't be carried out later than this: both sides give up after 4 s."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Projects:
    """The namespaces that were projects at a moment."""

    names: frozenset[str]
    at: float


@dataclass(slots=True, frozen=True, kw_only=True)
class Plan:
    """How an attempt is treated: the numbers of a resolved TaskSpec. Equal plans are one object."""

    max_attempts: int = 3
    initial_delay: int = 1
    max_delay: int = 60
    factor: int = 2
    jitter: bool = True
    non_retryable: tuple[int, ...] = (64,)
    timeout: int = 3600
    start_timeout: int = 300
    deadline: int | None = None
    ttl: int | None = None
    queue: str = DEFAULT_QUEUE

    @classmethod
    def of(cls, resolved: Mapping[str, Any]) -> "Plan":
        """From a resolved TaskSpec."""
        retry = resolved.get("retry") or {}
        return cls(
            max_attempts=retry.get("maxAttempts", 3),
            initial_delay=retry.get("initialDelaySeconds", 1),
            max_delay=retry.get("maxDelaySeconds", 60),
            factor=retry.get("factor", 2),
            jitter=retry.get("jitter", True),
            non_retryable=tuple(retry.get("nonRetryableExitCodes", (64,))),
            timeout=resolved.get("timeoutSeconds", 3600),
            start_timeout=resolved.get("startTimeoutSeconds", 300),
            deadline=resolved.get("deadlineSeconds"),
            ttl=resolved.get("ttlSecondsAfterFinished"),
            queue=resolved.get("queue") or DEFAULT_QUEUE,
        )


@dataclass(slots=True)
class StatusRecord:
    """The status as last seen or written."""

    phase: Phase = Phase.PENDING
    reason: str | None = None
    message: str | None = None
    queued_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    next_attempt_at: float | None = None
    disruptions: int = 0
    ttl: int | None = None
    attempts: list[Json] = field(default_factory=list)

    @classmethod
    def parse(cls, status: Mapping[str, Any]) -> "StatusRecord":
        """From a TaskRun's status."""
        phase = Phase(status.get("phase") or Phase.PENDING)
        return cls(
            phase=phase,
            reason=status.get("reason"),
            message=status.get("message"),
            queued_at=status.get("queuedAt"),
            started_at=status.get("startedAt"),
            finished_at=status.get("finishedAt"),
            next_attempt_at=parse_time(status.get("nextAttemptAt")),
            disruptions=status.get("disruptions") or 0,
            ttl=status.get("ttlSecondsAfterFinished"),
            # Nothing is decided from the attempts of a finished run, and they are most of its weight.
            attempts=[] if phase.terminal else (status.get("attempts") or []),
        )

    def started(self, number: int) -> float | None:
        """When attempt `number` started, as far as that is written."""
        return next((parse_time(a.get("startedAt")) for a in self.attempts if a["number"] == number), None)

    def ended(self, number: int) -> bool:
        """Whether the end of attempt `number` is written, or a later attempt is."""
        return any(a["number"] > number or (a["number"] == number and a.get("outcome")) for a in self.attempts)


@dataclass(slots=True, frozen=True)
class Refusal:
    """Why a run ends before any pod."""

    reason: str
    message: str


NOT_LOOKED = "waiting for its pod to start"
NO_NODE = "waiting for a node"
VAGUE = frozenset({NOT_LOOKED, NO_NODE})
"""What is said while no more is known: replaced once there is."""


@dataclass(slots=True)
class RunRecord:
    """One TaskRun."""

    uid: str
    namespace: str
    name: str
    version: int
    generation: int
    created: float
    seen: float
    """When this process first saw it, by its own clock: what latency is measured from."""
    task_ref: str | None
    queue: str | None
    cancel: bool
    ttl: int | None
    refusal: Refusal | None
    status: StatusRecord
    suspend: bool = False
    priority: int = 0
    concurrency_key: str = ""
    start_after: float | None = None
    start_deadline: int | None = None
    depends_on: tuple[tuple[str, bool], ...] = ()
    """Names, each with whether that run has to succeed."""
    dependency_timeout: int = 3600
    plan: Plan | None = None
    body: Json | None = None
    """Kept only until the first decision: a run that is admitted at once needs no read."""
    queued_at: float | None = None
    """Since when only its queue holds it, as far as this process has come to know."""
    released: float = 0.0
    """When it was seen that `suspend` is over."""
    held_since: float = 0.0
    """When it began to wait in its queue's line."""
    starting: int = 0
    """The attempt that it was let in for and whose Job hasn't been seen; 0: none. It holds a slot meanwhile."""
    posted_at: float = 0.0
    """When that Job was last sent to the apiserver; 0: not yet."""
    refused: Refusal | None = None
    """Why the apiserver would not take its Job, to be tried again at `retry_at`."""
    retry_at: float = 0.0
    has_schema: bool = False
    """Whether its inline task has a payloadSchema."""
    checked_for: str | None = None
    """Which schema its payload was found to match (`policies/payload.py`)."""
    check_at: float = 0.0
    """Not before this is its payload checked: too many of its namespace are being."""
    recover_at: float = 0.0
    """Not before this is an attempt looked for whose Job is gone."""
    schedule: str | None = None
    """The Schedule that its label names: the one that made it, or that somebody triggered by hand."""

    @classmethod
    def parse(cls, body: Json, *, now: float) -> "RunRecord":
        """From a TaskRun, first seen at `now`."""
        meta, spec = body["metadata"], body["spec"]
        made = cls(
            uid=meta["uid"],
            namespace=intern(meta["namespace"]),
            name=meta["name"],
            version=0,
            generation=1,
            created=parse_time(meta["creationTimestamp"]) or now,
            seen=now,
            task_ref=_interned((spec.get("taskRef") or {}).get("name")),
            queue=_interned(spec.get("queue") or (spec.get("task") or {}).get("queue")),
            cancel=False,
            ttl=None,
            refusal=None,
            status=StatusRecord(),
            concurrency_key=spec.get("concurrencyKey") or "",
            start_deadline=spec.get("startDeadlineSeconds"),
            depends_on=tuple((d["name"], d.get("when") != "Finished") for d in spec.get("dependsOn") or ()),
            dependency_timeout=spec.get("dependencyTimeoutSeconds", 3600),
            has_schema=bool((spec.get("task") or {}).get("payloadSchema")),
        )
        made.update(body, now=now)
        return made

    def update(self, body: Json, *, now: float) -> None:
        """Take over what may change."""
        spec = body["spec"]
        self.take_status(body["metadata"], body.get("status") or {})
        self.cancel, self.ttl = bool(spec.get("cancel")), spec.get("ttlSecondsAfterFinished")
        self.priority, self.start_after = spec.get("priority") or 0, parse_time(spec.get("startAfter"))
        suspend = bool(spec.get("suspend"))
        if not suspend and (self.suspend or (not self.released and self.status.reason == Reason.SUSPENDED)):
            self.released = now
        self.suspend = suspend

    def take_status(self, meta: Json, status: Json) -> None:
        """Take over a version's status."""
        self.version, self.generation = int(meta["resourceVersion"]), meta.get("generation", 1)
        self.status = StatusRecord.parse(status)


def _interned(text: str | None) -> str | None:
    """Names that a great many runs share are kept once."""
    return intern(text) if text is not None else None


@dataclass(slots=True)
class PodRecord:
    """One pod of an attempt."""

    uid: str
    name: str
    version: int
    job_uid: str
    phase: str
    created: float
    received: float
    """When its present phase was first seen, by this process's clock."""
    node: str | None = None
    reason: str | None = None
    message: str | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    termination_reason: str | None = None
    termination_message: str = ""
    waiting_reason: str | None = None
    waiting_message: str | None = None
    scheduling_message: str | None = None
    scheduled: float | None = None  # by the scheduler's clock: it can't have started before
    disrupted: bool = False
    deleting: bool = False
    unreachable: bool = False
    """Its node doesn't answer: whether it still runs can't be known."""
    stop_reason: str | None = None
    containers: int = 1
    failed_beside: str | None = None
    """Where `task` did not fail and the pod did: which container it was, and how it ended."""
    gone: bool = False

    @property
    def terminal(self) -> bool:
        """Whether its containers run no more, for good."""
        return self.gone or self.phase in ("Succeeded", "Failed")

    @property
    def running(self) -> bool:
        """Whether its containers were started and have not all ended."""
        return self.phase == "Running" and not self.gone


@dataclass(slots=True)
class AttemptRecord:
    """One Job of a run, and its pods."""

    run_uid: str
    namespace: str
    number: int
    job_name: str
    job_uid: str
    created: float
    plan: Plan
    key: str = ""
    """concurrencyKey of its run, which the run may not be there any more to tell."""
    after_oom: bool = False
    """Whether an attempt before it ran out of memory."""
    plan_known: bool = True
    """False while the Job that tells the plan hasn't been read."""
    supposed_until: float = 0.0
    """Its Job was sent and never answered, and its run is gone: until then it may still appear. 0: it is known."""
    pods: dict[str, PodRecord] = field(default_factory=dict)
    job_gone: bool = False
    looked_at: float = 0.0
    looks: int = 0
    """Looks in a row that found no running pod: each waits longer than the one before."""
    unwatched: bool = False
    """A pod of it has left the watch's selector while it lived: no event will tell of its end."""
    trouble: Refusal | None = None
    """What the cluster says about a pod that isn't there or doesn't start."""
    trouble_since: float = 0.0
    quota_at: float = 0.0
    """When a quota last refused its pod: the clock of its start stands still until then."""
    told_start: float | None = None  # when its container started, as its run's status tells
    stop: Refusal | None = None
    """Why it is being stopped."""
    stopped_pod: str | None = None
    """The pod that has been told to stop; empty when the Job was deleted instead."""

    @property
    def pod(self) -> PodRecord | None:
        """The newest pod."""
        return max(self.pods.values(), key=lambda p: (p.created, p.version), default=None)


@dataclass(slots=True)
class TaskRecord:
    """One Task; there are few, so its spec is kept."""

    uid: str
    namespace: str
    name: str
    version: int
    spec: Json


@dataclass(slots=True, frozen=True)
class ScheduleRecord:
    """One Schedule; there are few, so its template is kept."""

    uid: str
    namespace: str
    name: str
    version: int
    generation: int
    created: float
    spec: Json
    status: Json

    @property
    def counted_to(self) -> float:
        """The last tick that is dealt with, for all to see; before the first one, the Schedule's creation."""
        last = parse_time(self.status.get("lastScheduleTime"))
        return self.created if last is None else last

    def tick_of(self, run_name: str) -> float | None:
        """The tick that a run of this name is for; None for one triggered by hand."""
        return ticks.tick_of(run_name, schedule=self.name)

    def holds(self, run_name: str) -> bool:
        """Whether a run of this name must not be deleted yet."""
        return ticks.holds(run_name, schedule=self.name, counted_to=self.counted_to)

    def run_name(self, tick: float) -> str:
        """Name of the run of a tick."""
        return ticks.run_name(self.name, tick)


@dataclass(slots=True)
class NamedRecord:
    """A Queue; there are few, so both halves are kept."""

    uid: str
    namespace: str
    name: str
    version: int
    generation: int
    spec: Json
    status: Json
