"""The columns that the list of runs can have: which there are, in which order, and which a user sees without a choice.

The order is the same for all, so that what one user describes is where another looks for it.
"""

from collections.abc import Collection
from typing import Final

from tidegate_web.shared.problems import Problem

LABELS: Final = {
    "phase": "Status",
    "name": "Run",
    "task": "Task",
    "queue": "Queue",
    "priority": "Priority",
    "key": "Key",
    "schedule": "Schedule",
    "batch": "Batch",
    "parent": "Started by",
    "tags": "Tags",
    "requestedBy": "Requested by",
    "attempts": "Attempt",
    "waited": "Waited",
    "duration": "Duration",
    "created": "Created",
    "started": "Started",
    "finished": "Finished",
}
"""All of them, in their order."""
REQUIRED: Final = ("phase", "name")
DEFAULT: Final = ("phase", "name", "task", "queue", "attempts", "duration", "created")
OF_THE_SPEC: Final = frozenset({"priority", "key"})
"""What has no column of its own in Postgres: it is read of a run's spec, and only for a list that shows it."""


def chosen(names: Collection[str]) -> tuple[str, ...]:
    """The columns of these names, in their order, and those that each list has; 422 for a name that is none."""
    if len(names) > len(LABELS) or not all(name in LABELS for name in names):
        raise Problem(422, f"Columns must be of {', '.join(LABELS)}, each once.")
    return _in_order(names)


def stored(names: Collection[str] | None) -> tuple[str, ...] | None:
    """The same of what was stored, where a newer version may have written a name that this one doesn't know."""
    return None if names is None else _in_order(names)


def _in_order(names: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in LABELS if name in names or name in REQUIRED)
