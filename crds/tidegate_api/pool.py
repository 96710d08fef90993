"""WorkerPool: warm worker pods that take runs without a new pod."""

from typing import Annotated, Literal

from pydantic import Field

from tidegate_api.base import ApiModel, Conditions, FreeObject, Quantity, Resources
from tidegate_api.task import EnvFrom, EnvList

MODULE = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
REPLICAS_MAX = 1000
SLOTS_MAX = 256
DRAIN_MAX = 86_400

Modules = Annotated[
    list[Annotated[str, Field(max_length=256, pattern=MODULE)]],
    Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
]


class WorkerPoolSpec(ApiModel):
    """The worker pods, and how many runs each takes."""

    image: Annotated[
        str, Field(min_length=1, max_length=1024, description="Image of the workers; it starts from the runner's.")
    ]
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None, Field(description="When the image is pulled.")
    ] = None
    env: Annotated[EnvList | None, Field(description="Environment of the container `worker`, and of its runs.")] = None
    env_from: Annotated[EnvFrom | None, Field(description="ConfigMaps and Secrets whose keys become variables.")] = None
    resources: Annotated[Resources | None, Field(description="Resources of the container `worker`.")] = None
    service_account_name: Annotated[
        str | None, Field(max_length=253, description="Service account of the worker pods.")
    ] = None
    pod_template: Annotated[
        FreeObject | None,
        Field(
            description="A PodTemplateSpec merged, by strategic-merge keys, with the worker pod that Tidegate builds; the "
            "container is named `worker`. Its terminationGracePeriodSeconds (30) is the grace period of a run."
        ),
    ] = None
    replicas: Annotated[int, Field(ge=0, le=REPLICAS_MAX, description="Worker pods. `kubectl scale` sets it.")] = 1
    slots: Annotated[int, Field(ge=1, le=SLOTS_MAX, description="Runs at once in one worker pod.")] = 4
    preload: Annotated[Modules | None, Field(description="Modules imported before the first run.")] = None
    memory_per_run: Annotated[
        Quantity | None,
        Field(
            description="Limit of the data of each process of a run, above what is preloaded: it gets a MemoryError before the "
            "worker gets an OOM kill."
        ),
    ] = None
    drain_seconds: Annotated[
        int,
        Field(
            ge=0, le=DRAIN_MAX, description="How long a worker that is to go lets its runs end before it stops them."
        ),
    ] = 600


class WorkerPoolStatus(ApiModel):
    """What the pool does; written at most once a second."""

    observed_generation: Annotated[int | None, Field(ge=0, description="The generation this status speaks of.")] = None
    replicas: Annotated[int | None, Field(ge=0, description="Worker pods that are there.")] = None
    ready_replicas: Annotated[int | None, Field(ge=0, description="Worker pods that are ready.")] = None
    slots: Annotated[int | None, Field(ge=0, description="Slots of the connected workers.")] = None
    busy: Annotated[int | None, Field(ge=0, description="Slots that runs hold.")] = None
    waiting: Annotated[int | None, Field(ge=0, description="Runs that wait in their queues and name the pool.")] = None
    selector: Annotated[
        str | None, Field(max_length=1024, description="Label selector of the worker pods, for autoscalers.")
    ] = None
    conditions: Annotated[
        Conditions | None, Field(description="Ready: whether a worker is connected, else why none is.")
    ] = None


class WorkerPool(ApiModel):
    """Warm worker pods that take runs without a new pod."""

    spec: Annotated[WorkerPoolSpec, Field(description="The worker pods, and how many runs each takes.")]
    status: Annotated[WorkerPoolStatus | None, Field(description="What the pool does.")] = None
