"""Which namespaces can be projects: the operator and the web app have to agree, since one of them deletes what has ended."""

import re
from typing import Final

from tidegate_api.names import PROJECT_LABEL

PROJECT_SELECTOR: Final = f"{PROJECT_LABEL}=true"

_FORMER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?@[0-9a-f]{8}")


def may_be_project(namespace: str, *, own: str) -> bool:
    """Kubernetes' own namespaces never are one, nor is that in which Tidegate itself is, whatever their labels say."""
    return not namespace.startswith("kube-") and namespace != own


def former_name(project: str, namespace_uid: str) -> str:
    """The name under which the data of a deleted namespace is kept once another namespace has its name. No namespace can
    have this name."""
    return f"{project}@{namespace_uid[:8]}"


def is_former(name: str) -> bool:
    """Whether this is a name that ``former_name`` gives."""
    return _FORMER.fullmatch(name) is not None
