"""What each process of the web app may do in the cluster: the tests run with these rights and no others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tidegate_cluster.control_plane import ControlPlane, Pods

from support.kube import Kube
from support.operator import install_crds

Json = dict[str, Any]

IN_PROJECTS: dict[str, list[Json]] = {
    "web": [
        {
            "apiGroups": ["tidegate.dev"],
            "resources": ["taskruns"],
            "verbs": ["get", "list", "create", "patch", "delete"],
        },
        {
            "apiGroups": ["tidegate.dev"],
            "resources": ["tasks", "queues", "schedules", "workerpools"],
            "verbs": ["get", "list", "create", "update", "patch", "delete"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    ],
    "mirror": [
        {"apiGroups": ["tidegate.dev"], "resources": ["taskruns"], "verbs": ["get", "list", "watch", "delete"]},
        {"apiGroups": ["tidegate.dev"], "resources": ["schedules"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "delete"]},
    ],
}
"""What each needs where runs are, and what the chart grants there. ``live`` needs nothing."""
EVERYWHERE: dict[str, list[Json]] = {
    "web": [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "create"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"nonResourceURLs": ["/version"], "verbs": ["get"]},
    ],
    "mirror": [],
}
"""What no namespace holds. ``/version`` is everybody's in a cluster of its own."""
BY_NAME: dict[str, list[Json]] = {
    "web": [],
    "mirror": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
}
"""What each needs in addition where the settings name the projects."""
RIGHTS = {actor: IN_PROJECTS[actor] + EVERYWHERE[actor] + BY_NAME[actor] for actor in IN_PROJECTS}
"""All of it, where rights aren't granted project by project."""

RELEASE = "tidegate"
"""The namespace that the chart is installed in."""
RELEASE_RIGHTS: dict[str, list[Json]] = {
    "web": [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["tidegate-operator"],
            "verbs": ["get"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ],
}
"""What each may do there beside."""

RBAC = "rbac.authorization.k8s.io"
BY_PROJECT = {part: f"tidegate-tidegate-{part}" for part in IN_PROJECTS}
"""ClusterRoles that are bound project by project."""
PROJECT_RIGHTS = ",".join(f"tidegate-{part}={role}" for part, role in BY_PROJECT.items())
"""The setting that says so."""
GRANTING: list[Json] = [
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [RBAC], "resources": ["rolebindings"], "verbs": ["list", "create"]},
    {"apiGroups": [RBAC], "resources": ["rolebindings"], "resourceNames": [*BY_PROJECT.values()], "verbs": ["delete"]},
    {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": [*BY_PROJECT.values()], "verbs": ["bind"]},
]
"""What the mirror has beside where it binds them."""


def account(part: str) -> str:
    """The user name of a process's service account."""
    return f"system:serviceaccount:{RELEASE}:tidegate-{part}"


ACTORS = [*RIGHTS, *(account(part) for part in BY_PROJECT)]
"""Everybody whom rights are granted to here: processes with rights in all namespaces, and with rights in projects alone."""


@contextmanager
def granted_plane(*, pods: Pods = "none") -> Iterator[ControlPlane]:
    """A real apiserver with our CRDs, where each process has the rights that the chart gives it and no others."""
    with ControlPlane(actors={"operator": ["system:masters"], **{name: [] for name in ACTORS}}, pods=pods) as made:
        install_crds(made)
        for actor in RIGHTS:
            grant(made, actor)
        grant_by_project(made)
        yield made


def grant(plane: ControlPlane, actor: str) -> None:
    """Give a process its rights in all namespaces, and no others."""
    items = _granted(actor, f"tidegate-{actor}", {}, RIGHTS[actor])
    items += _granted(actor, f"tidegate-{actor}", {"namespace": RELEASE}, RELEASE_RIGHTS.get(actor, []))
    _apply(plane, items)


def grant_by_project(plane: ControlPlane) -> None:
    """Give the service accounts what they have before any project, and the mirror what it grants from."""
    items: list[Json] = []
    for part, role in BY_PROJECT.items():
        items.append(_role(role, {}, IN_PROJECTS[part]))
        everywhere = EVERYWHERE[part] + (GRANTING if part == "mirror" else [])
        items += _granted(account(part), f"{role}-everywhere", {}, everywhere)
    _apply(plane, items)


def _apply(plane: ControlPlane, items: list[Json]) -> None:
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE}}
    kube = Kube(plane.kubeconfig())
    for item in (namespace, *items):
        kube.apply(item)


def _role(name: str, where: Json, rules: list[Json]) -> Json:
    kind = "Role" if where else "ClusterRole"
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": where | {"name": name}, "rules": rules}


def _granted(actor: str, name: str, where: Json, rules: list[Json]) -> list[Json]:
    role = _role(name, where, rules)
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": where | {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": role["kind"], "name": name},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": actor}],
    }
    return [role, binding]
