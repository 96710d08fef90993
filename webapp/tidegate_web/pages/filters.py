"""The filters of a list of runs in the address of its page: one query string for all its links, and a chip for each filter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tidegate_web.shared.times import rfc3339_exact
from tidegate_web.store.queries.run_list import RunFilter

LABELS = {
    "phase": "Phase",
    "reason": "Reason",
    "task": "Task",
    "queue": "Queue",
    "q": "Search",
    "tag": "Tag",
    "batch": "Batch",
    "schedule": "Schedule",
    "parent": "Started by",
    "key": "Key",
    "requestedBy": "Requested by",
    "from": "From",
    "to": "Before",
}
"""Every filter that an address may have, in the order in which they are shown."""
IN_FORM = ("task", "queue", "q")
"""Those that have a field of their own in the form of the list."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A filter that is on."""

    label: str
    value: str
    others: Mapping[str, str]
    """The query without it."""


class RunQuery:
    """The query string of a list of runs."""

    def __init__(self, wanted: RunFilter) -> None:
        values = {
            "phase": ",".join(wanted.phases),
            "reason": wanted.reason,
            "task": wanted.task,
            "queue": wanted.queue,
            "q": wanted.text,
            "tag": wanted.tag,
            "batch": wanted.batch,
            "schedule": wanted.schedule,
            "parent": wanted.parent,
            "key": wanted.key,
            "requestedBy": wanted.requested_by,
            "from": _written(wanted.since),
            "to": _written(wanted.until),
        }
        self._values = {name: text for name in LABELS if (text := values[name])}

    @property
    def values(self) -> Mapping[str, str]:
        """The filters that are on."""
        return self._values

    @property
    def hidden(self) -> Mapping[str, str]:
        """Those for which the form has no field, and which it sends all the same."""
        return {name: text for name, text in self._values.items() if name not in IN_FORM}

    @property
    def chips(self) -> list[Chip]:
        """Each filter that is on."""
        return [
            Chip(label=LABELS[name], value=_shown(name, text), others=self.changed(**{name: None}))
            for name, text in self._values.items()
        ]

    def changed(self, **changes: str | None) -> dict[str, str]:
        """The query with other values of some filters; None for one that is off."""
        return {name: text for name, text in (self._values | changes).items() if text}


def _shown(name: str, text: str) -> str:
    if name == "phase":
        return text.replace(",", ", ")
    return text.replace("T", " ").replace("Z", " UTC") if name in ("from", "to") else text


def _written(time: datetime | None) -> str | None:
    return None if time is None else rfc3339_exact(time)
