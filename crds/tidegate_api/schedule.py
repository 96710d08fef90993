"""Schedule: creates TaskRuns by cron."""

from typing import Annotated, Literal

from pydantic import Field

from tidegate_api.base import ApiModel, Conditions, Text, Time
from tidegate_api.names import COUNT_MAX, SECONDS_MAX
from tidegate_api.taskrun import TaskRunSpec

Labels = dict[str, Annotated[str, Field(max_length=63)]]
Annotations = dict[str, Text]


class TemplateMetadata(ApiModel):
    """What the runs carry beside their spec."""

    labels: Annotated[Labels | None, Field(description="Labels of the runs.")] = None
    annotations: Annotated[Annotations | None, Field(description="Annotations of the runs.")] = None


class RunTemplate(ApiModel):
    """The runs to create."""

    metadata: Annotated[TemplateMetadata | None, Field(description="Labels and annotations of the runs.")] = None
    spec: Annotated[TaskRunSpec, Field(description="Spec of the runs.")]


class ScheduleSpec(ApiModel):
    """When, and what."""

    cron: Annotated[str, Field(min_length=1, max_length=256, description="Five cron fields.")]
    time_zone: Annotated[
        str, Field(min_length=1, max_length=64, description="IANA name of the zone that cron is read in.")
    ] = "UTC"
    suspend: Annotated[bool, Field(description="While true no runs are created.")] = False
    concurrency_policy: Annotated[
        Literal["Allow", "Forbid", "Replace"],
        Field(
            description="What a tick does while an earlier run goes on: run beside it, wait for its end, or replace it."
        ),
    ] = "Allow"
    starting_deadline_seconds: Annotated[
        int | None, Field(ge=1, le=SECONDS_MAX, description="A tick missed by more than this is skipped.")
    ] = None
    catch_up: Annotated[
        Literal["None", "Latest", "All"],
        Field(description="Which ticks missed during downtime are made up for; All at most 100."),
    ] = "Latest"
    template: Annotated[RunTemplate, Field(description="The runs to create.")]
    successful_runs_history_limit: Annotated[
        int | None,
        Field(ge=0, le=COUNT_MAX, description="Finished runs to keep that succeeded; absent: all, until their TTL."),
    ] = None
    failed_runs_history_limit: Annotated[
        int | None,
        Field(ge=0, le=COUNT_MAX, description="Finished runs to keep that failed; absent: all, until their TTL."),
    ] = None


class ActiveRun(ApiModel):
    """A run that this schedule created and that goes on."""

    name: Annotated[str, Field(max_length=63, description="Its name.")]
    uid: Annotated[str | None, Field(max_length=64, description="Its uid.")] = None


class ScheduleStatus(ApiModel):
    """What the schedule has done and will do next."""

    observed_generation: Annotated[int | None, Field(ge=0, description="The generation this status speaks of.")] = None
    last_schedule_time: Annotated[
        Time | None, Field(description="The last tick that is dealt with: made, skipped or missed.")
    ] = None
    next_schedule_time: Annotated[Time | None, Field(description="The first tick that is not dealt with yet.")] = None
    active: Annotated[
        list[ActiveRun] | None,
        Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}, description="Runs that go on."),
    ] = None
    conditions: Annotated[Conditions | None, Field(description="Ready: False with the parse error of a bad cron.")] = (
        None
    )


class Schedule(ApiModel):
    """Creates TaskRuns by cron."""

    spec: Annotated[ScheduleSpec, Field(description="When, and what.")]
    status: Annotated[ScheduleStatus | None, Field(description="What it has done and will do next.")] = None
