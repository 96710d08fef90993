"""Whether another release of the chart supervises the same namespaces: two operators would each start every run.

The chart claims what its operator works on by an object of a fixed name: a ClusterRole for all namespaces, else a Role in each. Helm
refuses a second release that has the same object. This is the check for other ways of installing, for a claim that was taken over,
and for a release of some namespaces beside one of all.
"""

from collections.abc import Collection
from typing import Final

from tidegate_api.objects import KubeObject

from tidegate_operator.kube.client import METADATA, KubeClient
from tidegate_operator.kube.errors import KubeError

CLAIM: Final = "tidegate.dev:operator"
RELEASE_ANNOTATION: Final = "tidegate.dev/release"
RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"


class ClaimedError(Exception):
    """Another release has claimed what this one supervises."""


async def refuse_claimed(client: KubeClient, *, release: str, namespaces: Collection[str]) -> None:
    """Raise ClaimedError when another release has claimed all namespaces, or one of `namespaces`.

    A claim that isn't there, or that can't be read, is none: the manifests may be older than this version.
    """
    for namespace in ["", *sorted(namespaces)]:
        path = f"{RBAC}/namespaces/{namespace}/roles/{CLAIM}" if namespace else f"{RBAC}/clusterroles/{CLAIM}"
        try:
            found = await client.get(path, KubeObject, resource="claims", accept=METADATA)
        except KubeError as error:
            if error.code in (403, 404):
                continue
            raise
        holder = (found["metadata"].get("annotations") or {}).get(RELEASE_ANNOTATION, release)
        if holder != release:
            where = f"namespace {namespace}" if namespace else "all namespaces"
            raise ClaimedError(
                f"release {holder} supervises {where}; uninstall it, or list other namespaces in this release's `namespaces`"
            )
