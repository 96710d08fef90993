"""Compact records: what the policies need of an object, and not its body.

A body is a hundred times larger than what a decision reads (a 1.3 kB Job is 10 kB of dicts), and most objects are only
waiting or done. Parsing happens once, when an event comes in.
"""

from dataclasses import dataclass, field
from sys import intern

from tidegate_api.bodies import AttemptBody, TaskRunBody, TaskRunStatusBody, TaskSpecBody
from tidegate_api.names import DEFAULT_QUEUE, TTL_SECONDS_MAX, Phase, Reason
from tidegate_api.objects import ObjectMeta
from tidegate_api.retention import kept_since
from tidegate_api.times import parse_time

from tidegate_operator.records.faults import Fault
from tidegate_operator.records.lenient import as_map, as_text, bounded, bounded_or, count

STOP_ANNOTATION = "tidegate.dev/stop-reason"
STOP_FLOOR_ANNOTATION = "tidegate.dev/stopped-after"
"""On a pod that the operator stops: why. The stop outlives the operator, so its reason must too."""


PoolKey = tuple[str, str]
"""Namespace and name of a WorkerPool."""

Worker = tuple[PoolKey, str]
"""A worker of a WorkerPool, by the uid of its pod."""

CLOCK_SLACK = 2.0
"""The apiserver's times are whole seconds, and its clock is followed as closely as they allow."""

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
    pool: str = ""
    """WorkerPool that its attempts run in; empty: each has a pod of its own."""

    @classmethod
    def of(cls, resolved: TaskSpecBody) -> "Plan":
        """From a resolved TaskSpec, which may have been edited where it is kept."""
        retry = as_map(resolved.get("retry"))
        codes = retry.get("nonRetryableExitCodes", (64,))
        return cls(
            max_attempts=bounded_or(3, retry.get("maxAttempts"), low=1, high=100),
            initial_delay=bounded_or(1, retry.get("initialDelaySeconds")),
            max_delay=bounded_or(60, retry.get("maxDelaySeconds")),
            factor=bounded_or(2, retry.get("factor"), low=1, high=100),
            jitter=retry.get("jitter", True) is not False,
            non_retryable=tuple(c for c in codes if type(c) is int) if isinstance(codes, list | tuple) else (64,),
            timeout=bounded_or(3600, resolved.get("timeoutSeconds")),
            start_timeout=bounded_or(300, resolved.get("startTimeoutSeconds"), low=1),
            deadline=bounded(resolved.get("deadlineSeconds"), low=1),
            ttl=bounded(resolved.get("ttlSecondsAfterFinished"), high=TTL_SECONDS_MAX),
            queue=as_text(resolved.get("queue")) or DEFAULT_QUEUE,
            pool=as_text(resolved.get("pool")) or "",
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
    kept_since: str | None = None
    """When the TTL of a finished run begins."""
    next_attempt_at: float | None = None
    disruptions: int = 0
    ttl: int | None = None
    attempts: list[AttemptBody] = field(default_factory=list)
    has_resolved_task: bool = False
    """Whether the TaskSpec that its attempts follow is frozen in the status."""

    @classmethod
    def parse(cls, status: TaskRunStatusBody) -> "StatusRecord":
        """From a TaskRun's status."""
        phase = Phase(status.get("phase") or Phase.PENDING)
        attempts = [] if phase.terminal else (status.get("attempts") or [])
        return cls(
            phase=phase,
            reason=status.get("reason"),
            message=status.get("message"),
            queued_at=status.get("queuedAt"),
            started_at=status.get("startedAt"),
            finished_at=status.get("finishedAt"),
            kept_since=kept_since(status) if phase.terminal else None,
            next_attempt_at=parse_time(status.get("nextAttemptAt")),
            disruptions=count(status.get("disruptions")) or 0,
            ttl=bounded(status.get("ttlSecondsAfterFinished"), high=TTL_SECONDS_MAX),
            # Nothing is decided from the attempts of a finished run, and they are most of its weight. Another writer may
            # have put them out of order.
            attempts=attempts if len(attempts) < 2 else sorted(attempts, key=_number),
            has_resolved_task="resolvedTask" in status,
        )

    def started(self, number: int) -> float | None:
        """When attempt `number` started, as far as that is written."""
        return next((parse_time(a.get("startedAt")) for a in self.attempts if a["number"] == number), None)

    def ended(self, number: int) -> bool:
        """Whether the end of attempt `number` is written, or a later attempt is."""
        return any(a["number"] > number or (a["number"] == number and a.get("outcome")) for a in self.attempts)


def _number(attempt: AttemptBody) -> int:
    return attempt["number"]


@dataclass(slots=True, frozen=True)
class Cause:
    """Why a run ends before any pod."""

    reason: str
    message: str


NOT_LOOKED = "waiting for its pod to start"
NO_NODE = "waiting for a node"
VAGUE = frozenset({NOT_LOOKED, NO_NODE})
"""What is said while no more is known: replaced once there is."""


@dataclass(slots=True)
class RunTracking:
    """What this process has done about a run, or knows of it, and the cluster doesn't say."""

    queued_at: float | None = None
    """Since when only its queue holds it, as far as this process has come to know."""
    released: float = 0.0
    """When it was seen that `suspend` is over."""
    in_line_since: float = 0.0
    """When it began to wait in its queue's line."""
    starting: int = 0
    """The attempt that it was let in for and whose Job hasn't been seen; 0: none. It holds a slot meanwhile."""
    worker: Worker | None = None
    """The worker whose slot it was let in for, where it runs in a pool."""
    posted_at: float = 0.0
    """When that Job was last sent to the apiserver; 0: not yet."""
    in_doubt_since: float = 0.0
    """When a POST of its Job first failed of which it isn't sure whether it was carried out; 0: none has."""
    refused: Cause | None = None
    """Why the apiserver would not take its Job, to be tried again at `retry_at`."""
    retry_at: float = 0.0
    checked_for: str | None = None
    """Which schema its payload was found to match (`policies/payload.py`)."""
    check_at: float = 0.0
    """Not before this is its payload checked: too many of its namespace are being."""
    recover_at: float = 0.0
    """Not before this is an attempt looked for whose Job is gone."""


@dataclass(slots=True)
class RunRecord:
    """One TaskRun: what was observed of it. `tracked` holds what was not."""

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
    refusal: Cause | None
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
    """How its attempts are treated, once the first has been made."""
    inline_pool: str = ""
    """WorkerPool that its inline task names."""
    has_schema: bool = False
    """Whether its inline task has a payloadSchema."""
    schedule: str | None = None
    """The Schedule that its label names: the one that made it, or that a user triggered."""
    deleting: bool = False
    """It is being deleted, and a finalizer keeps it: nothing new of it starts."""
    fault: Fault | None = None
    """Why it can't be read. Nothing else of the record can be relied on but its names, its version and its phase."""
    tracked: RunTracking = field(default_factory=RunTracking)

    @classmethod
    def parse(cls, body: TaskRunBody, *, now: float) -> "RunRecord":
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
            start_deadline=bounded(spec.get("startDeadlineSeconds"), low=1),
            depends_on=tuple((d["name"], d.get("when") != "Finished") for d in spec.get("dependsOn") or ()),
            dependency_timeout=bounded_or(3600, spec.get("dependencyTimeoutSeconds")),
            inline_pool=(spec.get("task") or {}).get("pool") or "",
            has_schema=bool((spec.get("task") or {}).get("payloadSchema")),
        )
        made.update(body, now=now)
        return made

    def update(self, body: TaskRunBody, *, now: float) -> None:
        """Take over what may change. Raises before anything is taken over."""
        meta, spec = body["metadata"], body["spec"]
        version, status = int(meta["resourceVersion"]), StatusRecord.parse(body.get("status") or {})
        start_after = parse_time(spec.get("startAfter"))
        self.version, self.generation, self.status = version, meta.get("generation", 1), status
        self.cancel = bool(spec.get("cancel"))
        self.ttl = bounded(spec.get("ttlSecondsAfterFinished"), high=TTL_SECONDS_MAX)
        self.deleting, self.fault = "deletionTimestamp" in meta, None
        self.priority, self.start_after = bounded_or(0, spec.get("priority"), low=-1000, high=1000), start_after
        suspend = bool(spec.get("suspend"))
        if not suspend and (self.suspend or (not self.tracked.released and self.status.reason == Reason.SUSPENDED)):
            self.tracked.released = now
        self.suspend = suspend

    @classmethod
    def unreadable(cls, meta: ObjectMeta, *, phase: Phase, fault: Fault, now: float) -> "RunRecord":
        """In place of a TaskRun that can't be parsed."""
        return cls(
            uid=meta["uid"],
            namespace=intern(meta["namespace"]),
            name=meta["name"],
            version=int(meta["resourceVersion"]),
            generation=1,
            created=now,
            seen=now,
            task_ref=None,
            queue=None,
            cancel=False,
            ttl=None,
            refusal=None,
            status=StatusRecord(phase=phase),
            deleting="deletionTimestamp" in meta,
            fault=fault,
        )

    def take_status(self, meta: ObjectMeta, status: TaskRunStatusBody) -> None:
        """Take over a version's status."""
        self.version, self.generation = int(meta["resourceVersion"]), meta.get("generation", 1)
        frozen = self.status.has_resolved_task  # a later write leaves it as it is
        self.status = StatusRecord.parse(status)
        self.status.has_resolved_task |= frozen


def _interned(text: str | None) -> str | None:
    """Names that a great many runs share are kept once."""
    return intern(text) if text is not None else None
