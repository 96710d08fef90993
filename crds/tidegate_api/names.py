"""Every name that crosses a process boundary: group, labels, annotations, phases, reasons, environment variables.

They are fixed by the contract; code that spells one out as a literal is a bug.
"""

from enum import StrEnum
from typing import Final

GROUP: Final = "tidegate.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "tidegate"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "tidegate"
RUN_LABEL: Final = f"{GROUP}/run"
RUN_UID_LABEL: Final = f"{GROUP}/run-uid"
ATTEMPT_LABEL: Final = f"{GROUP}/attempt"
TASK_LABEL: Final = f"{GROUP}/task"
QUEUE_LABEL: Final = f"{GROUP}/queue"
SCHEDULE_LABEL: Final = f"{GROUP}/schedule"
POOL_LABEL: Final = f"{GROUP}/pool"
"""On the Deployment of a WorkerPool and on its pods."""
PROJECT_LABEL: Final = f"{GROUP}/project"
ALLOW_HOST_ACCESS_LABEL: Final = f"{GROUP}/allow-host-access"
"""On a namespace, `true`: a cluster admin allows pod templates beyond `baseline` there."""
POD_SECURITY_LABEL: Final = "pod-security.kubernetes.io/enforce"
"""On a namespace: the Pod Security level that the apiserver enforces there."""

PAYLOAD_ANNOTATION: Final = f"{GROUP}/payload"
TASK_SPEC_ANNOTATION: Final = f"{GROUP}/task-spec"
CONCURRENCY_KEY_ANNOTATION: Final = f"{GROUP}/concurrency-key"
"""On Jobs and pods: a slot is held by its key also when the TaskRun that named it is gone."""
AFTER_OOM_ANNOTATION: Final = f"{GROUP}/after-oom"
"""On Jobs: an attempt before ran out of memory, which the status may have forgotten (`ATTEMPTS_KEPT`)."""
REQUESTED_BY_ANNOTATION: Final = f"{GROUP}/requested-by"
CONTINUES_ANNOTATION: Final = f"{GROUP}/continues"
"""On a namespace: the uid of the deleted namespace whose project data it takes over, as after a restore of a cluster."""

USAGE_KEY: Final = f"{GROUP}/usage"
"""Of the line before the content of a result file: what the attempt has used."""
CPU_MILLISECONDS_MAX: Final = 10**15
MEMORY_BYTES_MAX: Final = 2**50
"""Upper bounds of what an attempt can say that it has used."""
VIEW_KEY: Final = f"{GROUP}/view"
"""The key of a run's metadata whose blocks the page of the run draws."""

POOL_EXCLUDES: Final = (
    "image",
    "imagePullPolicy",
    "command",
    "args",
    "envFrom",
    "resources",
    "podTemplate",
    "serviceAccountName",
)
"""What a task with a pool can't have: its WorkerPool has it."""

TASK_CONTAINER: Final = "task"
WORKER_CONTAINER: Final = "worker"
DEFAULT_QUEUE: Final = "default"
TOKEN_AUDIENCE: Final = "tidegate"  # noqa: S105 - an audience, not a secret
PAYLOAD_MAX_BYTES: Final = 128 * 1024
POOL_RESULT_MAX_BYTES: Final = 128 * 1024
"""Largest result of an attempt in a pool that its status takes."""
ATTEMPTS_KEPT: Final = 100

SECONDS_MAX: Final = 31_536_000
"""Upper bound of every number of seconds in a spec: a year."""
TTL_SECONDS_MAX: Final = 3_153_600_000
"""Upper bound of `ttlSecondsAfterFinished`: a century."""
COUNT_MAX: Final = 1_000_000
"""Upper bound of every count in a spec."""
JSON_DEPTH_MAX: Final = 500
"""Levels of arrays and objects that a payload or a task may nest. The apiserver takes 10,000, most JSON readers fewer."""

DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Phase(StrEnum):
    """Where a run is in its life. Once terminal, a phase never changes."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    EXPIRED = "Expired"
    SKIPPED = "Skipped"

    @property
    def terminal(self) -> bool:
        """Whether the run has ended for good."""
        return self in TERMINAL_PHASES


TERMINAL_PHASES: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.EXPIRED, Phase.SKIPPED})


class Reason(StrEnum):
    """Why a run is in its phase. A pod's own waiting reason may stand here too while a run is Starting."""

    QUEUED = "Queued"
    DELAYED = "Delayed"
    SUSPENDED = "Suspended"
    WAITING_FOR_DEPENDENCIES = "WaitingForDependencies"
    QUEUE_PAUSED = "QueuePaused"
    CONCURRENCY_LIMIT = "ConcurrencyLimit"
    RATE_LIMIT = "RateLimit"
    QUEUE_NOT_FOUND = "QueueNotFound"
    TASK_NOT_FOUND = "TaskNotFound"
    POOL_NOT_FOUND = "PoolNotFound"
    POOL_NOT_READY = "PoolNotReady"
    POOL_FULL = "PoolFull"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CREATE_REFUSED = "CreateRefused"
    SCHEDULING = "Scheduling"
    PULLING_IMAGE = "PullingImage"
    CANCELLING = "Cancelling"
    NODE_UNREACHABLE = "NodeUnreachable"
    WORKER_UNREACHABLE = "WorkerUnreachable"
    WORKER_ENDED = "WorkerEnded"
    NOT_STARTED = "NotStarted"
    BACK_OFF = "BackOff"
    ERROR = "Error"
    OOM_KILLED = "OOMKilled"
    TIMEOUT = "Timeout"
    START_TIMEOUT = "StartTimeout"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    EVICTED = "Evicted"
    INVALID_IMAGE_NAME = "InvalidImageName"
    CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError"
    POD_REJECTED = "PodRejected"
    POD_DELETED = "PodDeleted"
    INVALID_PAYLOAD = "InvalidPayload"
    INVALID_TASK = "InvalidTask"
    DEPENDENCY_CYCLE = "DependencyCycle"
    DEPENDENCY_FAILED = "DependencyFailed"
    RESULT_TOO_LARGE = "ResultTooLarge"
    INTERNAL_ERROR = "InternalError"
    CANCELLED = "Cancelled"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"


SET_ASIDE_ANNOTATION: Final = f"{GROUP}/set-aside-objects"
"""On the operator's Lease: how many objects its leader has set aside, for the web app's `/health`."""

SET_ASIDE_CONDITION: Final = "SetAside"
"""True on an object with which reading it, deciding on it or writing it breaks, until that works again."""


class ScheduleReason(StrEnum):
    """Why a Schedule is Ready or not."""

    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    INVALID_CRON = "InvalidCron"
    INVALID_TIME_ZONE = "InvalidTimeZone"
    CREATE_REFUSED = "CreateRefused"
    NAME_TAKEN = "NameTaken"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMEOUT = "Timeout"
    CANCELLED = "Cancelled"
    DISRUPTED = "Disrupted"


class ExitCode:
    """Exit codes of the container `task` that mean more than success or failure."""

    OK: Final = 0
    ABORT: Final = 64
    RETRY_AFTER: Final = 65


class WorkerEnv:
    """Variables in a pool's container `worker` that its runs don't get."""

    ADDRESS: Final = "TIDEGATE_DISPATCH_ADDRESS"
    SERVER_NAME: Final = "TIDEGATE_DISPATCH_SERVER_NAME"
    CA_FILE: Final = "TIDEGATE_DISPATCH_CA_FILE"
    TOKEN_FILE: Final = "TIDEGATE_DISPATCH_TOKEN_FILE"  # noqa: S105 - a variable's name
    SLOTS: Final = "TIDEGATE_POOL_SLOTS"
    PRELOAD: Final = "TIDEGATE_POOL_PRELOAD"
    MEMORY_PER_RUN: Final = "TIDEGATE_POOL_MEMORY_PER_RUN"
    DRAIN_SECONDS: Final = "TIDEGATE_POOL_DRAIN_SECONDS"
    GRACE_SECONDS: Final = "TIDEGATE_POOL_GRACE_SECONDS"
    PORT: Final = "TIDEGATE_POOL_PORT"


class Env:
    """Variables in a task's container."""

    RUN: Final = "TIDEGATE_RUN"
    RUN_UID: Final = "TIDEGATE_RUN_UID"
    NAMESPACE: Final = "TIDEGATE_NAMESPACE"
    TASK: Final = "TIDEGATE_TASK"
    ATTEMPT: Final = "TIDEGATE_ATTEMPT"
    MAX_ATTEMPTS: Final = "TIDEGATE_MAX_ATTEMPTS"
    QUEUE: Final = "TIDEGATE_QUEUE"
    PAYLOAD_FILE: Final = "TIDEGATE_PAYLOAD_FILE"
    RESULT_FILE: Final = "TIDEGATE_RESULT_FILE"
    RESULT_MAX_BYTES: Final = "TIDEGATE_RESULT_MAX_BYTES"
    REPORT_USAGE: Final = "TIDEGATE_REPORT_USAGE"
    TIMEOUT_SECONDS: Final = "TIDEGATE_TIMEOUT_SECONDS"
    API_URL: Final = "TIDEGATE_API_URL"
    API_CA_FILE: Final = "TIDEGATE_API_CA_FILE"
    POOL: Final = "TIDEGATE_POOL"
    TOKEN_FILE: Final = "TIDEGATE_TOKEN_FILE"  # noqa: S105 - a variable's name
