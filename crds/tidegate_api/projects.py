"""Which namespaces can be projects: the operator and the web part have to agree, since one of them deletes what has ended."""

from typing import Final

from tidegate_api.names import PROJECT_LABEL

PROJECT_SELECTOR: Final = f"{PROJECT_LABEL}=true"


def may_be_project(namespace: str, *, own: str) -> bool:
    """Kubernetes' own namespaces never are one, nor is that in which Tidegate itself is, whatever their labels say."""
    return not namespace.startswith("kube-") and namespace != own
