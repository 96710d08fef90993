"""The operator's Lease: who leads, and for how long nothing has been heard of it.

``renewTime`` is by the clock of the holder's machine, and this process has another. So the apiserver's clock alone counts: it notes in
``managedFields`` when the field last changed, and says in its answer what time it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from tidegate_api.names import SET_ASIDE_ANNOTATION

from tidegate_web.cluster.objects import KubeObject, annotations_of
from tidegate_web.shared.json_types import as_object, whole_number
from tidegate_web.shared.times import parse_time


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who leads, and when that was last said."""

    holder: str
    renewed: datetime | None
    """By the apiserver's clock, in whole seconds; where it didn't note it, by the holder's."""
    seconds: float
    """So long it holds without being renewed."""
    answered: datetime | None
    """When the apiserver said all this, by its own clock."""
    set_aside: int = 0
    """How many objects the holder has set aside."""

    def silent(self, now: datetime) -> float | None:
        """Seconds since it was renewed; None where that isn't known. ``now`` counts where the apiserver didn't say the time."""
        return None if self.renewed is None else ((self.answered or now) - self.renewed).total_seconds()


def read_lease(body: KubeObject, headers: Mapping[str, str]) -> Lease:
    """A Lease as it was answered, with the headers of that answer."""
    spec = body.get("spec") or {}
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        renewed=_changed(body) or parse_time(spec.get("renewTime")),
        seconds=whole_number(spec.get("leaseDurationSeconds")) or 0,
        answered=_date(headers.get("Date", "")),
        set_aside=_count(annotations_of(body).get(SET_ASIDE_ANNOTATION)),
    )


def _changed(body: KubeObject) -> datetime | None:
    """When ``renewTime`` was last changed."""
    times = []
    for entry in body["metadata"].get("managedFields") or ():
        of_spec = as_object(as_object(entry.get("fieldsV1")).get("f:spec"))
        changed = parse_time(entry.get("time"))
        if "f:renewTime" in of_spec and changed is not None:
            times.append(changed)
    return max(times, default=None)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None


def _count(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 10 else 0
