"""Compact records of pools: a WorkerPool, its Deployment, and its worker pods."""

from dataclasses import dataclass

from tidegate_api.bodies import WorkerPoolSpecBody, WorkerPoolStatusBody

from tidegate_operator.records.run import Cause, PoolKey


@dataclass(slots=True, frozen=True, kw_only=True)
class PoolRecord:
    """One WorkerPool."""

    uid: str
    namespace: str
    name: str
    version: int
    generation: int
    deleting: bool
    spec: WorkerPoolSpecBody
    status: WorkerPoolStatusBody

    @property
    def key(self) -> PoolKey:
        """Its namespace and name."""
        return self.namespace, self.name


@dataclass(slots=True, frozen=True, kw_only=True)
class DeploymentRecord:
    """The Deployment of a pool, as far as it is read."""

    uid: str
    namespace: str
    name: str
    version: int
    pool_uid: str
    applied: str
    """Digest of what it was made from (an annotation)."""
    replicas: int = 0
    ready: int = 0
    trouble: Cause | None = None
    """Why its pods can't be made, in the cluster's words."""


@dataclass(slots=True, frozen=True, kw_only=True)
class WorkerPodRecord:
    """One pod with the label of a pool."""

    uid: str
    namespace: str
    name: str
    version: int
    pool: str
    """By its label: it says where to look, and proves nothing."""
    node: str | None
    phase: str
    ready: bool
    deleting: bool
    container: str | None
    """The container instance of `worker` that runs, by its id; None while none runs."""
    container_started: float | None
    """When it started, by the node's clock."""
    ended: str | None
    """The id of the instance that ended last, where the status still names it."""
    ended_reason: str | None
    ended_message: str
    restarts: int
    disrupted: bool
    unreachable: bool
    owner: tuple[str, str] | None
    """Name and uid of the ReplicaSet that controls it."""
    trouble: Cause | None
    """What keeps it from running."""

    @property
    def terminal(self) -> bool:
        """Whether its containers run no more, for good."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(slots=True, frozen=True, kw_only=True)
class Handover:
    """An attempt that was given to a worker, as its run's status has it."""

    ident: str
    pool: str
    pod_uid: str
    pod_name: str
    node: str | None

    @property
    def instance(self) -> str:
        """The container instance that it was given to: the beginning of its id."""
        return self.ident.partition("-")[0]
