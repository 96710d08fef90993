"""From what a task returns to JSON, by one table (docs/tasks.md): the same in a pod, in ``tidegate exec`` and in tests.

A number never becomes another one: what JSON readers would change is refused, with its place.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, Iterable

MOST_LEVELS = 500
"""Of lists and objects in each other; the HTTP API takes no more."""
LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**63 - 1
_UNORDERED = (set, frozenset)


def encode(result: object, *, what: str = "the result") -> str:
    """A value as JSON, empty for None. TypeError for one that JSON can't hold."""
    if result is None:
        return ""
    value = plain(result, what=what)
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    # A lone surrogate can't be written as UTF-8; as an escape it can.
    return text if _is_unicode(text) else json.dumps(value, allow_nan=False, separators=(",", ":"))


def plain(value: object, *, what: str = "the result") -> object:
    """The value in dict, list, str, int, float, bool and None."""
    try:
        return _plain(value, what, "", frozenset())
    except RecursionError:
        raise TypeError(f"{what} is not JSON: it has more levels than can be written") from None


def _plain(value: object, what: str, where: str, around: frozenset[int]) -> object:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if type(value) is int:
        if LEAST_INTEGER <= value <= MOST_INTEGER:
            return value
        raise _refused(what, where, "an integer beyond ±2^63, which JSON readers change: return it as text")
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise _refused(what, where, f"{value}, which JSON doesn't have")
    if kind not in (dict, list, tuple):
        simple, found = _simple(value)
        if found:
            return _plain(simple, what, where, around)
    if isinstance(value, dict):
        pairs: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    elif isinstance(value, _UNORDERED):
        pairs = enumerate(_ordered(value))
    elif hasattr(kind, "__dataclass_fields__"):
        pairs = [(name, getattr(value, name)) for name, field in kind.__dataclass_fields__.items() if _is_field(field)]
    else:
        raise _refused(what, where, f"a value of type {kind.__name__}, which JSON doesn't have")
    if id(value) in around:
        raise _refused(what, where, "a reference to what it stands in")
    if len(around) >= MOST_LEVELS:
        raise TypeError(f"{what} is not JSON: it has more than {MOST_LEVELS} levels")
    around |= {id(value)}
    if isinstance(value, (list, tuple, *_UNORDERED)):
        items = []
        for number, item in pairs:
            items.append(_plain(item, what, f"{where}[{number}]", around))
        return items
    entries: dict[str, object] = {}
    for key, item in pairs:
        name = _key(key, what, where)
        if name in entries:
            raise _refused(what, f"{where}.{name}", "there twice: two keys become the same text")
        entries[name] = _plain(item, what, f"{where}.{name}", around)
    return entries


def _simple(value: Any) -> tuple[Any, bool]:
    """What a value is written as instead, and whether there is such a thing. By its shape, where its module isn't loaded."""
    kind = type(value)
    names = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    if "enum.Enum" in names:
        return value.value, True
    if isinstance(value, str):
        return str.__str__(value), True
    if isinstance(value, int):
        return int.__int__(value), True
    if isinstance(value, float):
        return float.__float__(value), True
    if "decimal.Decimal" in names or "uuid.UUID" in names:
        return str(value), True
    if names & {"datetime.date", "datetime.time"}:
        return value.isoformat(), True
    if "datetime.timedelta" in names:
        return value.total_seconds(), True
    if "pathlib.PurePath" in names or "pathlib._local.PurePath" in names:
        return os.fspath(value), True
    if callable(getattr(kind, "model_dump", None)):  # pydantic
        return value.model_dump(mode="json"), True
    if callable(getattr(kind, "tolist", None)) and not isinstance(value, memoryview):  # numpy, pandas, torch, array
        made = value.tolist()
        return made, type(made) is not kind
    return None, False


def _key(key: object, what: str, where: str) -> str:
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    made = _plain(key, what, f"{where} (a key)", frozenset())
    if isinstance(made, str):
        return made
    if isinstance(made, (int, float)):
        return json.dumps(made)
    raise _refused(what, where, f"an object with a key of type {type(key).__name__}")


def _ordered(values: Iterable[Any]) -> list[object]:
    """A set in a stable order, where its items have one."""
    try:
        return sorted(values)
    except Exception:  # items of several types, or that compare in a way of their own
        return list(values)


def _is_field(field: Any) -> bool:
    return getattr(field, "_field_type", None) is None or field._field_type.name == "_FIELD"


def _refused(what: str, where: str, why: str) -> TypeError:
    place = f" at {where.lstrip('.')[:200]}" if where else ""
    return TypeError(f"{what} is not JSON{place}: {why}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
