"""The web app's rights in a project: RoleBindings in its namespace, one for each of our service accounts that has any.

The mirror creates them, which no client can reach, and not the process that people talk to. It may bind exactly the ClusterRoles
of the settings.
"""

from collections.abc import Mapping
from typing import cast

from tidegate_api.names import MANAGED_BY, MANAGED_BY_LABEL

from tidegate_web.cluster.client import Cluster, bindings_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import RoleBinding

RBAC = "rbac.authorization.k8s.io"
OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


class Bindings:
    """Those of this installation: called as the ClusterRole that they bind, whose name no other installation has."""

    def __init__(self, *, cluster: Cluster, rights: Mapping[str, str], namespace: str) -> None:
        self._cluster = cluster
        self._accounts = {role: account for account, role in rights.items()}
        self._namespace = namespace

    def present(self) -> dict[str, set[str]]:
        """What there is, by project."""
        found: dict[str, set[str]] = {}
        for page in self._cluster.pages(bindings_path(None), query={"labelSelector": OURS}):
            for item in page["items"]:
                metadata = item["metadata"]
                binding = cast("RoleBinding", item)
                if metadata["name"] in self._accounts and binding["roleRef"]["name"] == metadata["name"]:
                    found.setdefault(metadata["namespace"], set()).add(metadata["name"])
        return found

    def complete(self, project: str, present: set[str]) -> None:
        """Make those that aren't there."""
        for role in sorted(self._accounts.keys() - present):
            try:
                self._cluster.write("POST", bindings_path(project), body=self._body(role))
            except ClusterError as error:
                # Made in between. One that another client created is left alone; the watches then show what is forbidden.
                if error.reason != "AlreadyExists":
                    raise

    def remove(self, project: str, present: set[str]) -> None:
        """Take them away."""
        for role in sorted(present):
            try:
                self._cluster.request("DELETE", f"{bindings_path(project)}/{role}")
            except ClusterError as error:
                if not error.not_found:
                    raise

    def _body(self, role: str) -> dict[str, object]:
        subject = {"kind": "ServiceAccount", "name": self._accounts[role], "namespace": self._namespace}
        return {
            "metadata": {"name": role, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        }
