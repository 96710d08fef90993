"""Objects of the apiserver, typed where they come in: what each has in its metadata, and that spec and status are JSON objects.

The apiserver's schemas hold to it; who reads a field of a spec or a status asks what it is.
"""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from tidegate_web.shared.json_types import JsonObject


class OwnerReference(TypedDict):
    """Whom an object belongs to."""

    kind: str
    name: str
    uid: str
    controller: NotRequired[bool]


class ManagedFields(TypedDict, total=False):
    """What a client owns of an object, and when it last changed that."""

    time: str
    fieldsV1: JsonObject


class ObjectMeta(TypedDict):
    """What the apiserver gives to each object."""

    name: str
    uid: str
    resourceVersion: str
    creationTimestamp: str
    namespace: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    annotations: NotRequired[dict[str, str]]
    ownerReferences: NotRequired[list[OwnerReference]]
    deletionTimestamp: NotRequired[str]
    managedFields: NotRequired[list[ManagedFields]]


class KubeObject(TypedDict):
    """Any object."""

    metadata: ObjectMeta
    spec: NotRequired[JsonObject]
    status: NotRequired[JsonObject]


class RoleRef(TypedDict):
    """The role that a binding grants."""

    name: str


class RoleBinding(KubeObject):
    """A RoleBinding."""

    roleRef: RoleRef


class EventObject(TypedDict, total=False):
    """What an Event is about."""

    kind: str
    name: str


class EventSeries(TypedDict, total=False):
    """How often the same happened."""

    count: int
    lastObservedTime: str


class EventSource(TypedDict, total=False):
    """Who reported an Event."""

    component: str


class Event(TypedDict):
    """An Event, of either kind of reporter."""

    metadata: ObjectMeta
    involvedObject: NotRequired[EventObject]
    series: NotRequired[EventSeries]
    source: NotRequired[EventSource]
    type: NotRequired[str]
    reason: NotRequired[str]
    message: NotRequired[str]
    count: NotRequired[int]
    firstTimestamp: NotRequired[str]
    lastTimestamp: NotRequired[str]
    eventTime: NotRequired[str]
    reportingComponent: NotRequired[str]


ListMeta = TypedDict("ListMeta", {"resourceVersion": str, "continue": NotRequired[str]})


class ObjectList(TypedDict):
    """A piece of a list."""

    metadata: ListMeta
    items: list[KubeObject]


def controller_of(resource: KubeObject, *, kind: str) -> tuple[str, str] | None:
    """(name, uid) of the object's controller, when it is of that kind."""
    for owner in resource["metadata"].get("ownerReferences") or []:
        if owner.get("controller") and owner["kind"] == kind:
            return owner["name"], owner["uid"]
    return None


def labels_of(resource: KubeObject) -> Mapping[str, str]:
    """Its labels; the apiserver leaves them out where there are none."""
    return resource["metadata"].get("labels") or {}


def annotations_of(resource: KubeObject) -> Mapping[str, str]:
    """Its annotations, likewise."""
    return resource["metadata"].get("annotations") or {}
