"""Tasks, Queues, Schedules and WorkerPools in the cluster, in one way for all kinds: read, replaced whole, changed, deleted."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate_api.names import REQUESTED_BY_ANNOTATION
from tidegate_api.replay import RESERVED_LABELS

from tidegate_web.cluster.client import GROUP_VERSION, MERGE_PATCH, Cluster
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject, annotations_of, labels_of
from tidegate_web.shared.json_types import JsonObject

STRICT = {"fieldValidation": "Strict"}
TRIES = 5


class StaleError(Exception):
    """The object isn't in the version that its writer has seen."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the kinds."""

    plural: str
    name: str

    def path(self, project: str, name: str | None = None) -> str:
        base = f"/apis/{GROUP_VERSION}/namespaces/{project}/{self.plural}"
        return base if name is None else f"{base}/{name}"


KINDS = {
    "tasks": Kind(plural="tasks", name="Task"),
    "queues": Kind(plural="queues", name="Queue"),
    "schedules": Kind(plural="schedules", name="Schedule"),
    "pools": Kind(plural="workerpools", name="WorkerPool"),
}
"""By what they are called over HTTP."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What an object is to be: its spec, and those labels that aren't Tidegate's or Kubernetes' own."""

    spec: Mapping[str, object]
    labels: Mapping[str, str] | None
    """None: as they are."""


def put(
    cluster: Cluster,
    kind: Kind,
    project: str,
    name: str,
    wanted: Definition,
    *,
    who: str,
    seen: str | None,
    dry_run: bool = False,
) -> tuple[KubeObject, bool]:
    """Create it, or replace its spec as a whole; and whether it is new. ``seen``: the version it must have, "" for none.
    ``dry_run``: the apiserver answers with what it would be, and stores nothing."""
    query = {**STRICT, "dryRun": "All"} if dry_run else STRICT
    for tried in range(TRIES):
        found = get(cluster, kind, project, name)
        if seen is not None and seen != (found["metadata"]["resourceVersion"] if found else ""):
            raise StaleError
        try:
            if found is None:
                new = _new(kind, project, name, wanted, who=who)
                return cluster.write("POST", kind.path(project), body=new, query=query), True
            replaced = _replaced(found, wanted, who=who)
            return cluster.write("PUT", kind.path(project, name), body=replaced, query=query), False
        except ClusterError as error:
            # Made, changed or deleted in between: look again.
            if not error.is_gone or tried == TRIES - 1:
                raise
            if seen is not None:
                raise StaleError from error
    raise AssertionError("unreachable")


def get(cluster: Cluster, kind: Kind, project: str, name: str) -> KubeObject | None:
    try:
        return cluster.get(kind.path(project, name))
    except ClusterError as error:
        if error.not_found:
            return None
        raise


def change(
    cluster: Cluster, kind: Kind, project: str, name: str, spec: Mapping[str, object], *, who: str
) -> KubeObject:
    """Change some fields of its spec."""
    patch = {"metadata": {"annotations": {REQUESTED_BY_ANNOTATION: who}}, "spec": dict(spec)}
    return cluster.write("PATCH", kind.path(project, name), body=patch, query=STRICT, content_type=MERGE_PATCH)


def delete(cluster: Cluster, kind: Kind, project: str, name: str, *, seen: str | None) -> None:
    """Delete it; its runs stay."""
    preconditions = {} if seen is None else {"preconditions": {"resourceVersion": seen}}
    try:
        cluster.request("DELETE", kind.path(project, name), body={"propagationPolicy": "Background"} | preconditions)
    except ClusterError as error:
        if error.status == 409 and seen is not None:
            raise StaleError from error
        raise


def _new(kind: Kind, project: str, name: str, wanted: Definition, *, who: str) -> JsonObject:
    return {
        "apiVersion": GROUP_VERSION,
        "kind": kind.name,
        "metadata": {
            "name": name,
            "namespace": project,
            "labels": dict(wanted.labels or {}),
            "annotations": {REQUESTED_BY_ANNOTATION: who},
        },
        "spec": dict(wanted.spec),
    }


def _replaced(found: KubeObject, wanted: Definition, *, who: str) -> KubeObject:
    metadata = found["metadata"].copy()
    metadata["annotations"] = {**annotations_of(found), REQUESTED_BY_ANNOTATION: who}
    if wanted.labels is not None:
        kept = {key: value for key, value in labels_of(found).items() if key.startswith(RESERVED_LABELS)}
        metadata["labels"] = kept | dict(wanted.labels)
    return {**found, "metadata": metadata, "spec": dict(wanted.spec)}
