"""What may be sent about runs and what they are made from: pydantic models, from which the API's own description is made too.

The spec of a run or a Task is the apiserver's to check: its schema comes from the same types.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from tidegate_api.names import Phase
from tidegate_api.pool import WorkerPoolSpec
from tidegate_api.queue import QueueSpec
from tidegate_api.replay import RESERVED_LABELS
from tidegate_api.schedule import ScheduleSpec
from tidegate_api.task import TaskSpec
from tidegate_api.taskrun import TaskRunSpec

from tidegate_web.api.models import Body, DnsLabel
from tidegate_web.openapi.schemas import JsonOf, or_null
from tidegate_web.runs.batch import MOST_RUNS
from tidegate_web.runs.new_run import LABEL_KEY, LABEL_VALUE, is_text
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.times import parse_given_time
from tidegate_web.store.queries import runs

MOST_UIDS = 1000

_RESERVED = "|".join(prefix.replace(".", r"\.") for prefix in RESERVED_LABELS)
Labels = Annotated[
    dict[str, str],
    Field(
        json_schema_extra={
            "propertyNames": {"pattern": f"^(?!{_RESERVED})({LABEL_KEY.pattern})$"},
            "additionalProperties": {"type": "string", "pattern": f"^({LABEL_VALUE.pattern})$"},
        }
    ),
]
"""Kubernetes labels, but for Tidegate's and Kubernetes' own."""


def _time(value: str) -> str:
    if parse_given_time(value) is None:
        raise ValueError("must be an RFC 3339 time")
    return value


def _uid(value: str) -> str:
    if not runs.is_uid(value):
        raise ValueError("must be the uid of a run")
    return value.lower()


def _words(value: str) -> str:
    if not value.strip():
        raise ValueError("must be a string that isn't empty")
    return value


def _unicode(value: str) -> str:
    if not is_text(value):
        raise ValueError("must be Unicode throughout")
    return value


TimeText = Annotated[str, Field(json_schema_extra={"format": "date-time"}), AfterValidator(_time)]
Uid = Annotated[str, Field(json_schema_extra={"format": "uuid"}), AfterValidator(_uid)]
Words = Annotated[str, Field(json_schema_extra={"pattern": r"[^\s\x00]"}), AfterValidator(_words)]
PhaseName = Annotated[Phase, Field(strict=False)]
Payload = JsonObject


class RunRequest(TaskRunSpec):
    """A new run: its spec, and what it is called. Exactly one of `task` and `taskRef`."""

    name: Annotated[DnsLabel | None, Field(json_schema_extra=or_null)] = None
    labels: Labels = Field(default_factory=dict)


class BatchRequest(Body):
    """Many new runs."""

    runs: list[RunRequest] = Field(min_length=1, max_length=MOST_RUNS)


class ReplayRequest(Body):
    """What is to be otherwise than in the run that is replayed."""

    payload: Payload = Field(default_factory=dict)
    name: DnsLabel | None = None


class TriggerRequest(Body):
    """What is to be otherwise than in the Schedule's template."""

    payload: Payload = Field(default_factory=dict)


class BackfillRequest(Body):
    """A time in the past, both ends included, and whether to start nothing yet."""

    since: TimeText = Field(alias="from")
    until: TimeText
    dry_run: bool = False


class RescheduleRequest(Body):
    """When to start; null: now."""

    start_after: TimeText | None


class RunConditions(Body):
    """Conditions of a list of runs, at least one."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    phase: PhaseName | Annotated[list[PhaseName], Field(min_length=1)] = Field(default_factory=list)
    reason: Words = Field(default_factory=str)
    task: Words = Field(default_factory=str)
    queue: Words = Field(default_factory=str)
    tag: Words = Field(default_factory=str)
    batch: Words = Field(default_factory=str)
    schedule: Words = Field(default_factory=str)
    key: Words = Field(default_factory=str)
    requested_by: Words = Field(default_factory=str, alias="requestedBy")
    q: Words = Field(default_factory=str)
    since: TimeText = Field(default_factory=str, alias="from")
    to: TimeText = Field(default_factory=str)

    @model_validator(mode="after")
    def _at_least_one(self) -> "RunConditions":
        if not self.model_fields_set:
            raise ValueError("must be an object with at least one condition")
        return self


class BulkRequest(Body):
    """What to do to which runs. Exactly one of `uids` and `filter`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["uids"], "properties": {"uids": {"type": "array"}, "filter": {"type": "null"}}},
                {"required": ["filter"], "properties": {"filter": {"type": "object"}, "uids": {"type": "null"}}},
            ]
        }
    )

    action: Literal["cancel", "replay", "delete"]
    uids: Annotated[list[Uid], Field(min_length=1, max_length=MOST_UIDS)] | None = None
    filter: RunConditions | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "BulkRequest":
        if (self.uids is None) == (self.filter is None):
            raise ValueError("must have exactly one of uids and filter")
        return self


class DefinitionBody(Body):
    """A Task, Queue, Schedule or WorkerPool as it shall be."""

    spec: JsonObject
    labels: Labels | None = None
    """Null: as they are."""


class TaskBody(DefinitionBody):
    """A Task as it shall be."""

    spec: Annotated[JsonObject, JsonOf(TaskSpec)]


class QueueBody(DefinitionBody):
    """A Queue as it shall be."""

    spec: Annotated[JsonObject, JsonOf(QueueSpec)]


class ScheduleBody(DefinitionBody):
    """A Schedule as it shall be."""

    spec: Annotated[JsonObject, JsonOf(ScheduleSpec)]


class PoolBody(DefinitionBody):
    """A WorkerPool as it shall be."""

    spec: Annotated[JsonObject, JsonOf(WorkerPoolSpec)]


class ProgressTold(Body):
    """What a pod reports of its progress: a number, some words, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["progress"], "properties": {"progress": {"type": "number"}}},
                {"required": ["message"], "properties": {"message": {"type": "string"}}},
            ]
        }
    )

    progress: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    message: Annotated[str, Field(max_length=500), AfterValidator(_unicode)] | None = None

    @model_validator(mode="after")
    def _something(self) -> "ProgressTold":
        if self.progress is None and self.message is None:
            raise ValueError("must have progress or message")
        return self
