"""Shapes of Tidegate's own objects as the apiserver gives them: the names of their fields, in one place for all readers.

The models beside this module (`task.py`, `taskrun.py`, …) make the CRDs; a test compares the names here with theirs. These are
plain dicts: to validate a model for each event would cost more than the record that is parsed from it, and would refuse an object
that was stored before its CRD had bounds. A reader that can't rely on a value narrows it.
"""

from typing import Literal, Required, TypedDict

from tidegate_api.objects import Condition, KubeObject

JsonObject = dict[str, object]
"""An object whose fields are another's affair: a payload, a pod template, a schema."""


class EnvVarBody(TypedDict, total=False):
    """One environment variable."""

    name: Required[str]
    value: str
    valueFrom: JsonObject


ResourcesBody = dict[str, JsonObject]
"""Compute resources of a container: `requests` and `limits`."""


class OutOfMemoryBody(TypedDict, total=False):
    """What changes after an OOM kill."""

    resources: ResourcesBody


class RetryBody(TypedDict, total=False):
    """`retry` of a TaskSpec, or what a run lays over it."""

    maxAttempts: int
    initialDelaySeconds: int
    maxDelaySeconds: int
    factor: int
    jitter: bool
    nonRetryableExitCodes: list[int]
    outOfMemory: OutOfMemoryBody


class TaskSpecBody(TypedDict, total=False):
    """A TaskSpec."""

    description: str
    image: str
    pool: str
    entrypoint: str
    command: list[str]
    args: list[str]
    env: list[EnvVarBody]
    envFrom: list[JsonObject]
    resources: ResourcesBody
    imagePullPolicy: str
    payloadSchema: JsonObject
    queue: str
    retry: RetryBody
    timeoutSeconds: int
    startTimeoutSeconds: int
    deadlineSeconds: int
    ttlSecondsAfterFinished: int
    serviceAccountName: str
    podTemplate: JsonObject


class TaskRefBody(TypedDict, total=False):
    """The Task that a run refers to."""

    name: str


class DependencyBody(TypedDict, total=False):
    """A run that another waits for."""

    name: Required[str]
    when: Literal["Succeeded", "Finished"]


class TaskRunSpecBody(TypedDict, total=False):
    """The spec of a TaskRun."""

    taskRef: TaskRefBody
    task: TaskSpecBody
    payload: JsonObject
    queue: str
    timeoutSeconds: int
    startTimeoutSeconds: int
    deadlineSeconds: int
    retry: RetryBody
    resources: ResourcesBody
    env: list[EnvVarBody]
    ttlSecondsAfterFinished: int
    concurrencyKey: str
    priority: int
    startAfter: str
    startDeadlineSeconds: int
    dependsOn: list[DependencyBody]
    dependencyTimeoutSeconds: int
    suspend: bool
    cancel: bool
    idempotencyKey: str
    tags: list[str]
    parentRun: str
    batch: str


class UsageBody(TypedDict, total=False):
    """What an attempt has used."""

    cpuMilliseconds: int
    memoryPeakBytes: int


class AttemptBody(TypedDict, total=False):
    """One line of `status.attempts`."""

    number: Required[int]
    jobName: str
    pool: str
    podName: str
    podUid: str
    handover: str
    nodeName: str
    outcome: str
    reason: str
    message: str
    exitCode: int
    image: str
    imageID: str
    specHash: str
    createdAt: str
    scheduledAt: str
    startedAt: str
    finishedAt: str
    usage: UsageBody


class ResultRefBody(TypedDict):
    """Where the store holds a result that is too large for the status."""

    bytes: int
    sha256: str


class TaskRunStatusBody(TypedDict, total=False):
    """The status of a TaskRun."""

    phase: str
    reason: str
    message: str
    observedGeneration: int
    queuedAt: str
    startedAt: str
    finishedAt: str
    duration: str
    queue: str
    attempts: list[AttemptBody]
    disruptions: int
    nextAttemptAt: str
    ttlSecondsAfterFinished: int
    result: object
    resultRef: ResultRefBody
    resolvedTask: TaskSpecBody
    conditions: list[Condition]


class TaskRunBody(KubeObject, total=False):
    """A TaskRun."""

    spec: Required[TaskRunSpecBody]
    status: TaskRunStatusBody


class TaskBody(KubeObject):
    """A Task."""

    spec: TaskSpecBody


class RateLimitBody(TypedDict, total=False):
    """How fast first attempts may start."""

    runs: int
    perSeconds: int
    burst: int


class QueueSpecBody(TypedDict, total=False):
    """The spec of a Queue."""

    concurrencyLimit: int
    concurrencyLimitPerKey: int
    rateLimit: RateLimitBody
    paused: bool
    maxPending: int


class RateBucketBody(TypedDict):
    """State of a Queue's rate limit."""

    tokens: int | str
    at: str


class QueueStatusBody(TypedDict, total=False):
    """The status of a Queue."""

    observedGeneration: int
    pending: int
    running: int
    oldestPendingAt: str
    rateBucket: RateBucketBody
    conditions: list[Condition]


class QueueBody(KubeObject, total=False):
    """A Queue."""

    spec: Required[QueueSpecBody]
    status: QueueStatusBody


class TemplateMetadataBody(TypedDict, total=False):
    """Labels and annotations of a Schedule's runs."""

    labels: dict[str, str]
    annotations: dict[str, str]


class RunTemplateBody(TypedDict, total=False):
    """The runs that a Schedule makes."""

    metadata: TemplateMetadataBody
    spec: Required[TaskRunSpecBody]


class ScheduleSpecBody(TypedDict, total=False):
    """The spec of a Schedule."""

    cron: str
    timeZone: str
    suspend: bool
    concurrencyPolicy: str
    startingDeadlineSeconds: int
    catchUp: str
    template: RunTemplateBody
    successfulRunsHistoryLimit: int
    failedRunsHistoryLimit: int


class ActiveRunBody(TypedDict, total=False):
    """A run of a Schedule that goes on."""

    name: Required[str]
    uid: str


class ScheduleStatusBody(TypedDict, total=False):
    """The status of a Schedule."""

    observedGeneration: int
    lastScheduleTime: str
    nextScheduleTime: str
    active: list[ActiveRunBody]
    conditions: list[Condition]


class ScheduleBody(KubeObject, total=False):
    """A Schedule."""

    spec: Required[ScheduleSpecBody]
    status: ScheduleStatusBody


class WorkerPoolSpecBody(TypedDict, total=False):
    """The spec of a WorkerPool."""

    image: Required[str]
    imagePullPolicy: str
    env: list[EnvVarBody]
    envFrom: list[JsonObject]
    resources: ResourcesBody
    serviceAccountName: str
    podTemplate: JsonObject
    replicas: int
    slots: int
    preload: list[str]
    memoryPerRun: int | str
    drainSeconds: int


class WorkerPoolStatusBody(TypedDict, total=False):
    """The status of a WorkerPool."""

    observedGeneration: int
    replicas: int
    readyReplicas: int
    slots: int
    busy: int
    waiting: int
    selector: str
    conditions: list[Condition]


class WorkerPoolBody(KubeObject, total=False):
    """A WorkerPool."""

    spec: Required[WorkerPoolSpecBody]
    status: WorkerPoolStatusBody
