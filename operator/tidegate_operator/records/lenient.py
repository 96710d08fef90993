"""Reading values liberally: an object may have been stored before its CRD had bounds, or edited where no schema looks.

A number beyond its bounds counts as the bound, a value of another type as absent. So a stored object goes on as sensibly as
it can, and whatever is written from it fits into the CRD's bounds.
"""

from collections.abc import Mapping
from typing import Final, cast

from tidegate_api.names import COUNT_MAX, SECONDS_MAX
from tidegate_api.objects import KubeObject, ObjectMeta

EMPTY: Final[Mapping[str, object]] = {}


def bounded(value: object, *, low: int = 0, high: int = SECONDS_MAX) -> int | None:
    """An integer within its bounds; None for what is no integer."""
    if type(value) is not int:
        return None
    return low if value < low else min(value, high)


def bounded_or(default: int, value: object, *, low: int = 0, high: int = SECONDS_MAX) -> int:
    """The same, with a default for what is absent or no integer."""
    found = bounded(value, low=low, high=high)
    return default if found is None else found


def count(value: object, *, low: int = 0) -> int | None:
    """A count within its bounds; None for what is no integer."""
    return bounded(value, low=low, high=COUNT_MAX)


def as_map(value: object) -> Mapping[str, object]:
    """An object; empty for what is none."""
    return value if isinstance(value, dict) else EMPTY


def as_text(value: object) -> str | None:
    """A text; None for what is none."""
    return value if isinstance(value, str) else None


def metadata_of(body: KubeObject) -> ObjectMeta:
    """The metadata of an object of which nothing is taken for granted."""
    return cast("ObjectMeta", as_map(as_map(body).get("metadata")))
