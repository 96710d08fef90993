"""Task: a reusable definition that runs refer to, and the TaskSpec that may also stand inline in a run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from tidegate_api.base import ApiModel, Conditions, DnsLabel, EnvVar, FreeObject, Resources, Text, list_map, rule
from tidegate_api.names import POOL_EXCLUDES, SECONDS_MAX, TTL_SECONDS_MAX

ENTRYPOINT = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"

ExitCodes = Annotated[
    list[Annotated[int, Field(ge=1, le=255)]],
    Field(max_length=255, json_schema_extra={"x-kubernetes-list-type": "set"}),
]
EnvList = Annotated[list[EnvVar], Field(max_length=1024, json_schema_extra=list_map("name"))]
EnvFrom = Annotated[list[FreeObject], Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"})]
Words = Annotated[list[Text], Field(max_length=1024, json_schema_extra={"x-kubernetes-list-type": "atomic"})]


class OutOfMemory(ApiModel):
    """What changes for the attempts after an OOM kill."""

    resources: Annotated[Resources, Field(description="Resources of the attempts after an OOM kill.")]


class Retry(ApiModel):
    """When a failed attempt is followed by another, and after how long."""

    max_attempts: Annotated[int, Field(ge=1, le=100, description="Attempts in all that may fail.")] = 3
    initial_delay_seconds: Annotated[
        int, Field(ge=0, le=SECONDS_MAX, description="Delay before the second attempt.")
    ] = 1
    max_delay_seconds: Annotated[int, Field(ge=0, le=SECONDS_MAX, description="Upper bound of the delay.")] = 60
    factor: Annotated[
        int, Field(ge=1, le=100, description="The delay grows by this factor from attempt to attempt.")
    ] = 2
    jitter: Annotated[
        bool, Field(description="Shorten each delay by up to half, by a seed of the run and the attempt.")
    ] = True
    non_retryable_exit_codes: Annotated[ExitCodes, Field(description="Exit codes that fail the run at once.")] = [64]
    out_of_memory: Annotated[
        OutOfMemory | None, Field(description="What to do after an OOM kill; absent: it is an ordinary failure.")
    ] = None


class RetryOverride(ApiModel):
    """A run's own word on retries: each field given replaces the task's."""

    max_attempts: Annotated[int | None, Field(ge=1, le=100, description="Attempts in all that may fail.")] = None
    initial_delay_seconds: Annotated[
        int | None, Field(ge=0, le=SECONDS_MAX, description="Delay before the second attempt.")
    ] = None
    max_delay_seconds: Annotated[int | None, Field(ge=0, le=SECONDS_MAX, description="Upper bound of the delay.")] = (
        None
    )
    factor: Annotated[int | None, Field(ge=1, le=100, description="Growth of the delay from attempt to attempt.")] = (
        None
    )
    jitter: Annotated[bool | None, Field(description="Shorten each delay by up to half, by a seed.")] = None
    non_retryable_exit_codes: Annotated[
        ExitCodes | None, Field(description="Exit codes that fail the run at once.")
    ] = None
    out_of_memory: Annotated[OutOfMemory | None, Field(description="What to do after an OOM kill.")] = None


class TaskSpec(ApiModel):
    """What runs, in which image, and what happens when it fails."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!(has(self.entrypoint) && has(self.command))",
                    "entrypoint and command exclude each other: give one",
                ),
                rule("has(self.image) != has(self.pool)", "exactly one of image and pool is needed"),
                rule("!has(self.pool) || has(self.entrypoint)", "a task with a pool needs an entrypoint"),
                rule(
                    f"!has(self.pool) || !({' || '.join(f'has(self.{field})' for field in POOL_EXCLUDES)})",
                    f"a task with a pool runs in its WorkerPool's pods: leave out {', '.join(POOL_EXCLUDES)}",
                ),
                rule(
                    "!has(self.pool) || !has(self.retry) || !has(self.retry.outOfMemory)",
                    "a task with a pool has no resources of its own: leave out retry.outOfMemory",
                ),
                rule(
                    "!has(self.pool) || !has(self.env) || self.env.all(e, !has(e.valueFrom))",
                    "a task with a pool has plain env only: put env with valueFrom into its WorkerPool",
                ),
            ]
        },
    )

    description: Annotated[Text | None, Field(description="Shown in the dashboard.")] = None
    image: Annotated[
        str | None,
        Field(min_length=1, max_length=1024, description="Container image. Exactly one of image and pool."),
    ] = None
    pool: Annotated[
        DnsLabel | None,
        Field(description="A WorkerPool of the namespace that runs it warm; needs `entrypoint`."),
    ] = None
    entrypoint: Annotated[
        str | None,
        Field(
            max_length=512,
            pattern=ENTRYPOINT,
            description="`package.module:function`, run by the Tidegate runner in the image. Excludes `command`; with "
            "neither, the image's own entrypoint runs.",
        ),
    ] = None
    command: Annotated[Words | None, Field(description="Any program, no runner needed.")] = None
    args: Annotated[Words | None, Field(description="Arguments of `command`, or of the image's entrypoint.")] = None
    env: Annotated[EnvList | None, Field(description="Environment of the container `task`.")] = None
    env_from: Annotated[EnvFrom | None, Field(description="ConfigMaps and Secrets whose keys become variables.")] = None
    resources: Annotated[Resources | None, Field(description="Resources of the container `task`.")] = None
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None, Field(description="When the image is pulled.")
    ] = None
    payload_schema: Annotated[
        FreeObject | None,
        Field(
            description="JSON Schema 2020-12 (local `$ref` only) of the payload; a payload that doesn't match ends the run "
            "as Failed/InvalidPayload before any pod."
        ),
    ] = None
    queue: Annotated[DnsLabel, Field(description="Queue that its runs wait in.")] = "default"
    retry: Annotated[
        Retry, Field(description="When and how a failed attempt is repeated.", json_schema_extra={"default": {}})
    ] = Retry()
    timeout_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=SECONDS_MAX,
            description="Per attempt, from the start of its pod's container; 0: none. The attempt ends as Timeout (SIGTERM, "
            "grace, SIGKILL) and is retried like a failure.",
        ),
    ] = 3600
    start_timeout_seconds: Annotated[
        int,
        Field(
            ge=1,
            le=SECONDS_MAX,
            description="From the creation of the attempt's pod to a running container: unschedulable, unpullable.",
        ),
    ] = 300
    deadline_seconds: Annotated[
        int | None,
        Field(
            ge=1,
            le=SECONDS_MAX,
            description="For the run as a whole, from the first attempt's Job: Failed/DeadlineExceeded.",
        ),
    ] = None
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            ge=0,
            le=TTL_SECONDS_MAX,
            description="How long a finished TaskRun stays in the cluster; default: a setting, a day.",
        ),
    ] = None
    service_account_name: Annotated[str | None, Field(max_length=253, description="Service account of the pod.")] = None
    pod_template: Annotated[
        FreeObject | None,
        Field(
            description="A PodTemplateSpec merged, by strategic-merge keys, with the pod that Tidegate builds: volumes, "
            "sidecars (in initContainers with restartPolicy Always), scheduling, security context. The task's own container "
            "can be named in it as `task`."
        ),
    ] = None


class TaskStatus(ApiModel):
    """What Tidegate says about a Task."""

    observed_generation: Annotated[int | None, Field(ge=0, description="The generation this status speaks of.")] = None
    conditions: Annotated[Conditions | None, Field(description="Conditions of the task.")] = None


class Task(ApiModel):
    """A reusable definition of background work that TaskRuns refer to by name."""

    spec: Annotated[TaskSpec, Field(description="What runs, in which image, and what happens when it fails.")]
    status: Annotated[TaskStatus | None, Field(description="What Tidegate says about it.")] = None
