"""The filters of a list of runs in the address of its page: one query string for all its links, and a chip for each filter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from tidegate_web.shared import run_columns
from tidegate_web.shared.times import rfc3339_exact
from tidegate_web.store.queries.run_list import RunFilter
from tidegate_web.store.queries.run_views import RunViewRow

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
    """The query string of a list of runs: its filters, and its columns where it names some."""

    def __init__(self, values: Mapping[str, str | None], *, columns: Sequence[str] | None = None) -> None:
        self._values = {name: text for name in LABELS if (text := values.get(name))}
        self._columns = {"columns": ",".join(columns)} if columns else {}

    @property
    def values(self) -> Mapping[str, str]:
        """The filters that are on."""
        return self._values

    @property
    def address(self) -> Mapping[str, str]:
        """All of it."""
        return self.changed()

    @property
    def names_columns(self) -> bool:
        """Whether it does, so that a user's own choice is not what is shown."""
        return bool(self._columns)

    @property
    def column_labels(self) -> list[str]:
        """Those that it names, as the head of the list has them."""
        return [run_columns.LABELS[name] for name in self._columns["columns"].split(",")] if self._columns else []

    @property
    def hidden(self) -> Mapping[str, str]:
        """Those for which the form has no field, and which it sends all the same."""
        return {name: text for name, text in self.address.items() if name not in IN_FORM}

    @property
    def chips(self) -> list[Chip]:
        """Each filter that is on."""
        return [
            Chip(label=LABELS[name], value=_shown(name, text), others=self.changed(**{name: None}))
            for name, text in self._values.items()
        ]

    def changed(self, **changes: str | None) -> dict[str, str]:
        """The query with other values of some filters; None for one that is off."""
        return {name: text for name, text in (self._values | self._columns | changes).items() if text}


def query_of(wanted: RunFilter, *, columns: Sequence[str] | None = None) -> RunQuery:
    """The query of these filters, and of columns that the address names."""
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
    return RunQuery(values, columns=columns)


def query_of_view(view: RunViewRow) -> RunQuery:
    """The query to which the link of a saved view leads. It need not be one that is understood: the list says so then."""
    return RunQuery(view.filters, columns=run_columns.stored(view.columns))


def with_query(path: str, values: Mapping[str, str]) -> str:
    """An address of this path with this query."""
    return f"{path}?{urlencode(values)}" if values else path


def _shown(name: str, text: str) -> str:
    if name == "phase":
        return text.replace(",", ", ")
    return text.replace("T", " ").replace("Z", " UTC") if name in ("from", "to") else text


def _written(time: datetime | None) -> str | None:
    return None if time is None else rfc3339_exact(time)
