"""What each process of the web part may do in the cluster: the tests run with these rights and no others."""

import json
from typing import Any

from tidegate_cluster.control_plane import ControlPlane

Json = dict[str, Any]

RIGHTS: dict[str, list[Json]] = {
    "web": [
        {"apiGroups": ["tidegate.dev"], "resources": ["taskruns"], "verbs": ["get", "create", "patch", "delete"]},
        {
            "apiGroups": ["tidegate.dev"],
            "resources": ["tasks", "queues", "schedules"],
            "verbs": ["get", "list", "create", "update", "patch", "delete"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"nonResourceURLs": ["/version"], "verbs": ["get"]},
    ],
    "mirror": [
        {"apiGroups": ["tidegate.dev"], "resources": ["taskruns"], "verbs": ["get", "list", "watch", "delete"]},
        {"apiGroups": ["tidegate.dev"], "resources": ["schedules"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "delete"]},
    ],
}
"""What each process may do in the cluster: all it needs, and what the chart grants. ``live`` needs nothing."""


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


def grant(plane: ControlPlane, actor: str) -> None:
    """Give a process its rights, and no others."""
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RELEASE}}
    items = [namespace, *_granted(actor, "ClusterRole", {}, RIGHTS[actor])]
    items += _granted(actor, "Role", {"namespace": RELEASE}, RELEASE_RIGHTS.get(actor, []))
    plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _granted(actor: str, kind: str, where: Json, rules: list[Json]) -> list[Json]:
    api, group, name = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io", f"tidegate-{actor}"
    return [
        {"apiVersion": api, "kind": kind, "metadata": where | {"name": name}, "rules": rules},
        {
            "apiVersion": api,
            "kind": f"{kind}Binding",
            "metadata": where | {"name": name},
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": actor}],
        },
    ]
