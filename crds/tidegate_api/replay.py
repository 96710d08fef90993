"""What a run that does the same again takes from the old one: what the task does, not what was about that one run."""

from collections.abc import Mapping
from typing import Any, Final

OF_THE_OLD_RUN: Final = frozenset({"cancel", "startAfter", "idempotencyKey", "suspend"})
RESERVED_LABELS: Final = ("tidegate.dev/", "batch.kubernetes.io/")
"""Labels that Tidegate and Kubernetes set themselves."""


def replayed_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of the new run."""
    return {field: value for field, value in spec.items() if field not in OF_THE_OLD_RUN}


def replayed_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Its labels."""
    return {name: value for name, value in labels.items() if not name.startswith(RESERVED_LABELS)}
