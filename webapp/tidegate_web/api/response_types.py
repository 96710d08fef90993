"""What goes out: the shapes of answers. Views make them, the type checker holds both together, and the API's own description
is made from them.
"""

from typing import Annotated, Generic, Literal, NotRequired, TypeVar

from pydantic import Field
from tidegate_api.names import Phase
from tidegate_api.pool import WorkerPoolSpec, WorkerPoolStatus
from tidegate_api.queue import QueueSpec, QueueStatus
from tidegate_api.schedule import ScheduleSpec, ScheduleStatus
from tidegate_api.task import TaskSpec, TaskStatus
from tidegate_api.taskrun import Attempt, ResultRef, TaskRunSpec, TaskRunStatus
from typing_extensions import TypedDict

from tidegate_web.api.models import RoleName
from tidegate_web.openapi.schemas import JsonOf, or_null
from tidegate_web.shared.documented import documented
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import ProblemBody
from tidegate_web.shared.run_summary import RunSummaryFields
from tidegate_web.shared.times import Time
from tidegate_web.store.queries.logs import LogPiece

Item = TypeVar("Item")


class Items(TypedDict, Generic[Item]):
    """All there are."""

    items: list[Item]


@documented
class Page(TypedDict, Generic[Item]):
    """A piece of a list."""

    items: list[Item]
    after: str | None
    """Cursor of the next piece; null at the end."""


@documented
class Requester(TypedDict):
    """Who asked for a run."""

    name: str
    verified: bool
    """Whether it was asked for here; else it is what the object claims."""


@documented
class FromCluster(TypedDict):
    """The mark on what comes from the cluster alone."""

    source: NotRequired[Literal["cluster"]]
    """There while Postgres is away: what the archive has beside is missing."""


class RunSummary(RunSummaryFields):
    """The summary of a run."""

    parent: Annotated[str | None, Field(description="The run that submitted this one.")]
    queuedAt: Time | None
    deletedAt: Annotated[Time | None, Field(description="Since when the cluster has forgotten it.")]
    requestedBy: Requester | None


class ListedRun(RunSummary):
    """A run in a list."""

    progress: float | None
    progressMessage: str | None


@documented
class PageOfRuns(FromCluster, Page[ListedRun]):
    """A piece of the list of runs."""

    truncated: NotRequired[bool]
    """Beside `source`: whether the cluster has more runs than were looked at."""


class Run(ListedRun, FromCluster):
    """A run by itself."""

    metadata: JsonObject
    labels: dict[str, str]
    spec: Annotated[JsonObject, JsonOf(TaskRunSpec)]
    status: Annotated[JsonObject, JsonOf(TaskRunStatus)]


class AwaitedRun(Run):
    """A run that was waited for."""

    result: NotRequired[object]
    """What it gave back, once it has succeeded with a result."""


class RunAttempt(Attempt):
    """An attempt, with the last progress that it reported."""

    progress: Annotated[float | None, Field(json_schema_extra=or_null)]
    progress_message: Annotated[str | None, Field(json_schema_extra=or_null)]


class ChildRun(TypedDict):
    """A child as its parent needs to know it."""

    uid: str
    name: str
    phase: Phase
    reason: str | None
    message: str | None
    createdAt: Time
    finishedAt: Time | None
    result: object
    resultRef: Annotated[JsonObject | None, JsonOf(ResultRef | None)]


class KeptMetadata(TypedDict):
    """A run's metadata after a change."""

    metadata: JsonObject


class RunOfBatch(TypedDict):
    """What became of one run of a batch: it, or why there is none."""

    status: int
    run: NotRequired[RunSummary]
    problem: NotRequired[ProblemBody]


class LogEnd(TypedDict):
    """Nothing more of this pod's log will come."""

    attempt: int
    pod: str
    end: Literal["complete", "truncated", "lost"]
    reason: str | None


@documented
class RunLogs(TypedDict):
    """A piece of a run's logs."""

    items: list[LogPiece]
    ends: list[LogEnd]
    after: int
    """Ask again with this for what comes then."""


class EventObject(TypedDict):
    """What an Event is about."""

    kind: str | None
    name: str | None


class KubernetesEvent(TypedDict):
    """An Event of the cluster."""

    type: str | None
    reason: str | None
    message: str | None
    object: EventObject
    count: int
    firstAt: Time | None
    lastAt: Time | None
    source: str | None


class BulkProblem(TypedDict):
    """Why nothing was done to a run."""

    uid: str
    message: str


class BulkOperation(TypedDict):
    """How far it is."""

    id: int
    action: Literal["cancel", "replay", "delete"]
    state: Literal["Running", "Finished", "Aborted"]
    total: int
    done: int
    failed: int
    problems: list[BulkProblem]
    requestedBy: str
    createdAt: Time
    finishedAt: Time | None


Counts = Annotated[dict[str, int], JsonOf(dict[Phase, int])]
"""Of runs, by phase."""


class Percentiles(TypedDict):
    """In seconds."""

    p50: float
    p95: float


class StatsBucket(TypedDict):
    """Counts of a piece of the time."""

    at: Time
    created: int
    phases: Counts
    durationSeconds: Percentiles | None
    waitSeconds: Percentiles | None


_StatsBase = TypedDict("_StatsBase", {"from": Time, "to": Time})


class Stats(_StatsBase):
    """Counts and durations, as a whole and by bucket."""

    bucketSeconds: int
    created: int
    phases: Counts
    durationSeconds: Percentiles | None
    waitSeconds: Percentiles | None
    items: list[StatsBucket]


_BackfillBase = TypedDict("_BackfillBase", {"from": Time, "until": Time})


class Backfill(_BackfillBase):
    """Runs for past ticks of a Schedule. `until` is earlier than what was asked for where the operator deals with what comes after."""

    ticks: list[Time]
    """Those without a run."""
    there: int
    """Ticks that have a run."""
    started: int
    """Runs; 0 of a dry run."""
    batch: str | None
    """That of the runs; null of a dry run."""
    problems: list[str]
    """Why runs could not be made, each reason once."""


class BatchOfRuns(TypedDict):
    """The runs of one batch."""

    batch: str
    total: int
    phases: Counts
    firstCreatedAt: Time
    lastCreatedAt: Time


class _Defined(TypedDict):
    name: str
    uid: str
    project: str
    resourceVersion: str
    createdAt: Time
    labels: dict[str, str]
    requestedBy: str | None


class Definition(_Defined):
    """A Task, Queue, Schedule or WorkerPool."""

    spec: JsonObject
    status: JsonObject


class TaskDefinition(_Defined):
    """A Task."""

    spec: Annotated[JsonObject, JsonOf(TaskSpec)]
    status: Annotated[JsonObject, JsonOf(TaskStatus)]


class QueueDefinition(_Defined):
    """A Queue."""

    spec: Annotated[JsonObject, JsonOf(QueueSpec)]
    status: Annotated[JsonObject, JsonOf(QueueStatus)]


class ScheduleDefinition(_Defined):
    """A Schedule."""

    spec: Annotated[JsonObject, JsonOf(ScheduleSpec)]
    status: Annotated[JsonObject, JsonOf(ScheduleStatus)]


class PoolDefinition(_Defined):
    """A WorkerPool."""

    spec: Annotated[JsonObject, JsonOf(WorkerPoolSpec)]
    status: Annotated[JsonObject, JsonOf(WorkerPoolStatus)]


@documented
class Project(TypedDict):
    """A project by itself."""

    name: str
    role: RoleName | None
    """The caller's role in it; null for none."""
    ready: bool
    """Whether the web app has its rights there: the mirror grants them a moment after a project was made."""


class ProjectOfCaller(TypedDict):
    """A project, and the caller's role in it."""

    name: str
    role: RoleName
