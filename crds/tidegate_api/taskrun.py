"""TaskRun: one run of a task, the unit of work. Its spec is what was asked for, its status what became of it."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from tidegate_api.base import (
    PRESERVE,
    ApiModel,
    Conditions,
    DnsLabel,
    FreeObject,
    Resources,
    Text,
    Time,
    list_map,
    rule,
    same,
)
from tidegate_api.names import (
    ATTEMPTS_KEPT,
    COUNT_MAX,
    CPU_MILLISECONDS_MAX,
    MEMORY_BYTES_MAX,
    SECONDS_MAX,
    TERMINAL_PHASES,
    TTL_SECONDS_MAX,
    Outcome,
    Phase,
)
from tidegate_api.task import EnvList, RetryOverride, TaskSpec

MUTABLE = frozenset({"cancel", "suspend", "priority", "startAfter", "ttlSecondsAfterFinished"})
"""What may change in the spec of a TaskRun that exists; everything else is immutable."""


class TaskRef(ApiModel):
    """A Task of the same namespace."""

    name: Annotated[DnsLabel, Field(description="Name of the Task.")]


class Dependency(ApiModel):
    """Another run that this one waits for."""

    name: Annotated[DnsLabel, Field(description="Name of a TaskRun of the namespace; it need not exist yet.")]
    when: Annotated[
        Literal["Succeeded", "Finished"], Field(description="Whether it has to succeed, or just to end.")
    ] = "Succeeded"


class TaskRunSpec(ApiModel):
    """What is asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("has(self.taskRef) != has(self.task)", "exactly one of taskRef and task is needed"),
            ]
        },
    )

    task_ref: Annotated[TaskRef | None, Field(description="The Task to run. Exactly one of taskRef and task.")] = None
    task: Annotated[TaskSpec | None, Field(description="An inline TaskSpec. Exactly one of taskRef and task.")] = None
    payload: Annotated[
        FreeObject, Field(description="JSON object that the task gets, at most 128 KiB as compact UTF-8.")
    ] = {}
    queue: Annotated[DnsLabel | None, Field(description="Overrides the task's queue.")] = None
    timeout_seconds: Annotated[
        int | None, Field(ge=0, le=SECONDS_MAX, description="Overrides the task's timeoutSeconds.")
    ] = None
    start_timeout_seconds: Annotated[
        int | None, Field(ge=1, le=SECONDS_MAX, description="Overrides the task's startTimeoutSeconds.")
    ] = None
    deadline_seconds: Annotated[
        int | None, Field(ge=1, le=SECONDS_MAX, description="Overrides the task's deadlineSeconds.")
    ] = None
    retry: Annotated[RetryOverride | None, Field(description="Overrides the task's retry, field by field.")] = None
    resources: Annotated[Resources | None, Field(description="Overrides the task's resources, field by field.")] = None
    env: Annotated[EnvList | None, Field(description="Overrides the task's env, by name.")] = None
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(ge=0, le=TTL_SECONDS_MAX, description="Overrides the task's ttlSecondsAfterFinished. May change."),
    ] = None
    concurrency_key: Annotated[
        str | None, Field(max_length=128, description="Each value of the key has its own share of the queue.")
    ] = None
    priority: Annotated[
        int, Field(ge=-1000, le=1000, description="Higher first; within one priority oldest first. May change.")
    ] = 0
    start_after: Annotated[Time | None, Field(description="Not started before this time. May change.")] = None
    start_deadline_seconds: Annotated[
        int | None,
        Field(ge=1, le=SECONDS_MAX, description="Not started this long after queuedAt: the run ends as Expired."),
    ] = None
    depends_on: Annotated[
        list[Dependency] | None,
        Field(max_length=64, json_schema_extra=list_map("name"), description="Runs of the namespace to wait for."),
    ] = None
    dependency_timeout_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=SECONDS_MAX,
            description="How long to wait for runs in dependsOn that don't exist, from creation; 0: forever.",
        ),
    ] = 3600
    suspend: Annotated[
        bool, Field(description="Not started while true; on a started run it holds the next attempt only. May change.")
    ] = False
    cancel: Annotated[bool, Field(description="True ends the run; it never goes back to false.")] = False
    idempotency_key: Annotated[
        str | None, Field(max_length=256, description="Key of the request that made the run.")
    ] = None
    tags: Annotated[
        list[Annotated[str, Field(max_length=128)]] | None,
        Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "set"}, description="Words to search by."),
    ] = None
    parent_run: Annotated[str | None, Field(max_length=253, description="Run that submitted this one.")] = None
    batch: Annotated[str | None, Field(max_length=128, description="Batch that this run was created in.")] = None


class AttemptUsage(ApiModel):
    """What an attempt has used, as the runner in its image reports at its end."""

    cpu_milliseconds: Annotated[
        int | None,
        Field(ge=0, le=CPU_MILLISECONDS_MAX, description="Processor time of all its processes, in milliseconds."),
    ] = None
    memory_peak_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            le=MEMORY_BYTES_MAX,
            description="Most memory at one time: of its container, in a pool of its largest process.",
        ),
    ] = None


class Attempt(ApiModel):
    """One attempt: one Job and its pod, or one hand-over to a worker of a pool."""

    number: Annotated[int, Field(ge=1, le=COUNT_MAX, description="Counts the attempts of the run, from 1.")]
    job_name: Annotated[str | None, Field(max_length=253, description="Name of its Job; absent in a pool.")] = None
    pool: Annotated[str | None, Field(max_length=63, description="WorkerPool that it ran in.")] = None
    pod_uid: Annotated[str | None, Field(max_length=64, description="Uid of the worker pod that it was given to.")] = (
        None
    )
    handover: Annotated[
        str | None, Field(max_length=64, description="Identifies the hand-over to the worker; new for each.")
    ] = None
    pod_name: Annotated[str | None, Field(max_length=253, description="Name of its last pod.")] = None
    node_name: Annotated[str | None, Field(max_length=253, description="Node that the pod ran on.")] = None
    outcome: Annotated[Outcome | None, Field(description="How it ended; absent while it goes on.")] = None
    reason: Annotated[str | None, Field(max_length=256, description="Why it ended so, in CamelCase.")] = None
    message: Annotated[Text | None, Field(description="One line for a person.")] = None
    exit_code: Annotated[int | None, Field(description="Exit code of the container `task`.")] = None
    image: Annotated[Text | None, Field(description="Image of the container `task`, as it was asked for.")] = None
    image_id: Annotated[
        Text | None, Field(alias="imageID", description="The image that ran, by digest, as the node reports it.")
    ] = None
    spec_hash: Annotated[
        str | None,
        Field(
            max_length=64,
            description="SHA-256, in hex, of the TaskSpec that its Job carries; equal specs, equal hashes.",
        ),
    ] = None
    created_at: Annotated[Time | None, Field(description="When its Job was created; absent in a pool.")] = None
    scheduled_at: Annotated[
        Time | None, Field(description="When its last pod was assigned to a node; absent in a pool.")
    ] = None
    started_at: Annotated[Time | None, Field(description="Start of the container `task`.")] = None
    finished_at: Annotated[Time | None, Field(description="Its end.")] = None
    usage: Annotated[
        AttemptUsage | None, Field(description="What it has used; absent where its image doesn't report it.")
    ] = None


class ResultRef(ApiModel):
    """A result too large for the status: the store holds it."""

    bytes: Annotated[int, Field(ge=0, description="Size of the result.")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Digest of the result.")]


STATUS_RULE = (
    f"!(oldSelf.phase in [{', '.join(repr(str(p)) for p in sorted(TERMINAL_PHASES))}]) || (self.phase == oldSelf.phase"
    f" && {same('reason')} && {same('attempts')} && {same('resultRef')})"
)

JsonValue = Annotated[Any, Field(json_schema_extra={k: v for k, v in PRESERVE.items() if k != "type"})]


class TaskRunStatus(ApiModel):
    """What became of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(STATUS_RULE, "a finished run keeps its phase, reason, attempts and resultRef"),
            ]
        },
    )

    phase: Annotated[Phase, Field(description="Where the run is in its life.")] = Phase.PENDING
    reason: Annotated[str | None, Field(max_length=256, description="Why it is in its phase, in CamelCase.")] = None
    message: Annotated[Text | None, Field(description="One line for a person.")] = None
    observed_generation: Annotated[int | None, Field(ge=0, description="The generation this status speaks of.")] = None
    queued_at: Annotated[Time | None, Field(description="Since when only its queue held it.")] = None
    started_at: Annotated[Time | None, Field(description="First start of a container; set once.")] = None
    finished_at: Annotated[Time | None, Field(description="When it ended.")] = None
    duration: Annotated[
        str | None,
        Field(max_length=64, description="From start to finish in Go syntax, such as 12.3s; set at the end."),
    ] = None
    queue: Annotated[str | None, Field(max_length=63, description="The queue it waits in.")] = None
    attempts: Annotated[
        list[Attempt] | None,
        Field(
            max_length=ATTEMPTS_KEPT,
            json_schema_extra=list_map("number"),
            description="The last 100 attempts, oldest first.",
        ),
    ] = None
    disruptions: Annotated[
        int | None,
        Field(
            ge=0, le=COUNT_MAX, description="Pods lost to evictions, preemptions and lost nodes; they use no attempt."
        ),
    ] = None
    next_attempt_at: Annotated[Time | None, Field(description="End of the back-off before the next attempt.")] = None
    ttl_seconds_after_finished: Annotated[
        int | None, Field(ge=0, le=TTL_SECONDS_MAX, description="Resolved at the end; the spec's own wins.")
    ] = None
    result: Annotated[JsonValue, Field(description="What the task returned, as JSON.")] = None
    result_ref: Annotated[ResultRef | None, Field(description="Result held by the store.")] = None
    resolved_task: Annotated[
        FreeObject | None,
        Field(description="The TaskSpec that its attempts in a pool follow, frozen with the first of them."),
    ] = None
    conditions: Annotated[
        Conditions | None, Field(description="Finished (True in every terminal phase) and Succeeded.")
    ] = None


class TaskRun(ApiModel):
    """One run of a task: the unit of work."""

    spec: Annotated[TaskRunSpec, Field(description="What is asked for. Immutable but for the fields that say so.")]
    status: Annotated[
        TaskRunStatus, Field(description="What became of it.", json_schema_extra={"default": {"phase": "Pending"}})
    ] = TaskRunStatus()


def fixed_fields() -> list[str]:
    """What is fixed in a TaskRun's spec once it is created. Not in a Schedule's template."""
    return sorted(set(map(to_camel, TaskRunSpec.model_fields)) - MUTABLE)
