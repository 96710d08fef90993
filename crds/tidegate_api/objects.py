"""Shapes of Kubernetes' own objects, as far as they are read: JSON gets a type where it comes in.

The apiserver vouches for these types. A field that may be absent is read with `get`.
"""

from typing import Required, TypedDict


class OwnerReference(TypedDict, total=False):
    """The owner of an object."""

    apiVersion: str
    kind: str
    name: str
    uid: Required[str]
    controller: bool


class ObjectMeta(TypedDict, total=False):
    """Metadata of an object that the apiserver has stored."""

    name: Required[str]
    namespace: Required[str]
    uid: Required[str]
    resourceVersion: Required[str]
    creationTimestamp: Required[str]
    generation: int
    labels: dict[str, str]
    annotations: dict[str, str]
    ownerReferences: list[OwnerReference]
    deletionTimestamp: str
    deletionGracePeriodSeconds: int


class KubeObject(TypedDict):
    """Any object: what all have in common."""

    metadata: ObjectMeta


class Condition(TypedDict, total=False):
    """A condition of a status."""

    type: str
    status: str
    reason: str
    message: str
    lastTransitionTime: str
    observedGeneration: int


class ContainerStateWaiting(TypedDict, total=False):
    """Why a container waits."""

    reason: str
    message: str


class ContainerStateRunning(TypedDict, total=False):
    """Since when a container runs."""

    startedAt: str


class ContainerStateTerminated(TypedDict, total=False):
    """How a container ended."""

    exitCode: int
    reason: str
    message: str
    startedAt: str
    finishedAt: str
    containerID: str


class ContainerState(TypedDict, total=False):
    """One of the three."""

    waiting: ContainerStateWaiting
    running: ContainerStateRunning
    terminated: ContainerStateTerminated


class ContainerStatus(TypedDict, total=False):
    """The status of one container."""

    name: str
    state: ContainerState
    lastState: ContainerState
    ready: bool
    image: str
    imageID: str
    containerID: str
    restartCount: int


class PodSpec(TypedDict, total=False):
    """What is read of a pod's spec."""

    nodeName: str
    terminationGracePeriodSeconds: int
    activeDeadlineSeconds: int
    containers: list[object]
    initContainers: list[object]
    ephemeralContainers: list[object]


class PodStatus(TypedDict, total=False):
    """What is read of a pod's status."""

    phase: str
    reason: str
    message: str
    startTime: str
    conditions: list[Condition]
    containerStatuses: list[ContainerStatus]
    initContainerStatuses: list[ContainerStatus]


class PodBody(KubeObject, total=False):
    """A pod."""

    spec: PodSpec
    status: PodStatus


class JobSpec(TypedDict, total=False):
    """What is read of a Job's spec."""

    suspend: bool


class JobStatus(TypedDict, total=False):
    """What is read of a Job's status."""

    conditions: list[Condition]


class JobBody(KubeObject, total=False):
    """A Job."""

    spec: JobSpec
    status: JobStatus


class DeploymentStatus(TypedDict, total=False):
    """What is read of a Deployment's status."""

    replicas: int
    readyReplicas: int
    conditions: list[Condition]


class DeploymentBody(KubeObject, total=False):
    """A Deployment."""

    status: DeploymentStatus


class ObjectReference(TypedDict, total=False):
    """The object that an Event is about."""

    fieldPath: str


class EventBody(TypedDict, total=False):
    """An Event of the core group."""

    metadata: ObjectMeta
    type: str
    reason: str
    message: str
    lastTimestamp: str
    eventTime: str
    involvedObject: ObjectReference


class LeaseSpec(TypedDict, total=False):
    """Who holds a Lease."""

    holderIdentity: str
    leaseDurationSeconds: int
    leaseTransitions: int
    acquireTime: str
    renewTime: str


class LeaseBody(KubeObject, total=False):
    """A Lease."""

    spec: LeaseSpec


class ReviewedUser(TypedDict, total=False):
    """The account that a token belongs to."""

    username: str
    extra: dict[str, list[str]]


class TokenReviewStatus(TypedDict, total=False):
    """The apiserver's answer about a token."""

    authenticated: bool
    audiences: list[str]
    user: ReviewedUser


class TokenReviewBody(TypedDict, total=False):
    """A TokenReview. It is never stored, so it has no metadata to speak of."""

    status: TokenReviewStatus
