"""Where runs may be: a pod in a namespace of Kubernetes or of Tidegate itself can use the service accounts and Secrets there.

An administrator who names such a namespace in the settings has chosen it.
"""

from collections.abc import Collection

from tidegate_api.names import Reason
from tidegate_api.projects import may_be_project

from tidegate_operator.records.run import Cause


def refuse_namespace(namespace: str, *, own: str, listed: Collection[str]) -> Cause | None:
    """Why no run starts in a namespace. `own`: the release's, "" where that isn't known; `listed`: those that the settings name."""
    if namespace in listed or may_be_project(namespace, own=own):
        return None
    return Cause(
        Reason.INVALID_TASK,
        f"no run starts in namespace {namespace}, which is Kubernetes' or Tidegate's own: create it in another, or name this "
        "one in TIDEGATE_NAMESPACES",
    )
