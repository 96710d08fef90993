"""The contract's bounds of numbers and times, looked at before the apiserver is asked: 422 with the field's name as it was sent.

The CRDs have them too; those are the same for kubectl. Here they hold with CRDs of an older version, and the answer names the field
of the request and not of the object.
"""

from collections.abc import Iterator, Mapping

from tidegate_api.names import COUNT_MAX, SECONDS_MAX, TTL_SECONDS_MAX

from tidegate_web.shared import times
from tidegate_web.shared.problems import FieldError, Problem

TTL = "ttlSecondsAfterFinished"
TIMES = frozenset({"startAfter"})
COUNTS = frozenset(
    {
        "maxAttempts", "factor", "concurrencyLimit", "concurrencyLimitPerKey", "maxPending", "runs", "burst",
        "successfulRunsHistoryLimit", "failedRunsHistoryLimit", "count", "replicas", "slots",
    }
)  # fmt: skip
OPAQUE = frozenset({"payload", "payloadSchema", "podTemplate", "env", "envFrom", "resources", "labels", "annotations"})
"""What is within these isn't ours, and has bounds of its own."""


def check_bounds(spec: Mapping[str, object], *, within: str = "") -> None:
    """422 for numbers and times beyond the bounds. ``within``: where in the body the spec is."""
    errors = list(_errors(spec, within))
    if errors:
        detail = "; ".join(f"{error['field']}: {error['message']}" for error in errors[:5])
        raise Problem(422, detail, errors=errors)


def _errors(value: object, place: str) -> Iterator[FieldError]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _errors(item, f"{place}.{number}")
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        if name in OPAQUE:
            continue
        inner = f"{place}.{name}" if place else str(name)
        wrong = _wrong(str(name), item)
        if wrong is not None:
            yield {"field": inner, "message": wrong}
        else:
            yield from _errors(item, inner)


def _wrong(name: str, value: object) -> str | None:
    if name in TIMES and isinstance(value, str):
        return None if times.parse_given_time(value) is not None else "must be an RFC 3339 time from 1970 to 9998"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    most = TTL_SECONDS_MAX if name == TTL else SECONDS_MAX if _is_seconds(name) else None
    if most is None and name in COUNTS:
        most = COUNT_MAX
    return None if most is None or value <= most else f"must be at most {most}"


def _is_seconds(name: str) -> bool:
    return name.endswith("Seconds")
