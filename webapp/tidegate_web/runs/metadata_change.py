"""How the metadata of a run changes: ``set``, then ``append``, then ``increment``, all of a request or nothing.

Pure: from what is there and what is asked for to what will be there, or to what is wrong with it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, with_config

from tidegate_web.shared.json_types import JsonObject, is_object

MAX_BYTES = 64 * 1024
MAX_KEYS = 100
MAX_KEY_LENGTH = 128
MAX_INTEGER = 2**63 - 1

Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY_LENGTH)]
_WORDS = ("set", "append", "increment")


class MetadataError(ValueError):
    """What was asked for can't be done; names the field."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


@with_config(extra="forbid", json_schema_extra={"minProperties": 1})
@dataclass(frozen=True, kw_only=True)
class Change:
    """One request's wishes."""

    set: Mapping[Key, object] = field(default_factory=dict)
    append: Mapping[Key, object] = field(default_factory=dict)
    increment: Mapping[Key, int | float] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """Every key that it touches."""
        return sorted({*self.set, *self.append, *self.increment})


def parse(body: Mapping[str, object]) -> Change:
    """``{"set": {"rows": 10}, "append": {"files": "a.csv"}, "increment": {"errors": 1}}``, any of which may be missing."""
    if not body or set(body) - set(_WORDS):
        raise MetadataError("", f"must have {', '.join(_WORDS[:-1])} or {_WORDS[-1]}, nothing else")
    asked: dict[str, JsonObject] = {}
    for word in _WORDS:
        wishes = body.get(word, {})
        if not is_object(wishes):
            raise MetadataError(word, "must be a JSON object")
        if any(not 1 <= len(key) <= MAX_KEY_LENGTH for key in wishes):
            raise MetadataError(word, f"must have keys of 1 to {MAX_KEY_LENGTH} characters")
        asked[word] = wishes
    increment = {key: _number("increment", amount) for key, amount in asked["increment"].items()}
    return Change(set=asked["set"], append=asked["append"], increment=increment)


def applied(before: Mapping[str, object], change: Change) -> JsonObject:
    """What the metadata is after the change."""
    after = {**before, **change.set}
    for key, item in change.append.items():
        there = after.get(key, [])
        if not isinstance(there, list):
            raise MetadataError("append", "is for keys that hold a list, or nothing yet")
        after[key] = [*there, item]
    for key, amount in change.increment.items():
        after[key] = _number("increment", _number("increment", after.get(key, 0)) + amount)
    if len(after) > MAX_KEYS:
        raise MetadataError("", f"would make more than {MAX_KEYS} keys")
    if _size(after) > MAX_BYTES:
        raise MetadataError("", f"would make the metadata larger than {MAX_BYTES} bytes")
    return after


def _number(where: str, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MetadataError(where, "is for numbers, and for keys that hold one, or nothing yet")
    if abs(value) > MAX_INTEGER if isinstance(value, int) else not math.isfinite(value):
        raise MetadataError(where, "goes beyond the numbers that can be kept")
    return value


def _size(value: object) -> int:
    try:
        return len(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())
    except ValueError as error:  # also numbers of thousands of digits, and text that isn't Unicode
        raise MetadataError("", "has a number or a text that can't be kept") from error
    except RecursionError as error:
        raise MetadataError("", "is nested too deeply") from error
