"""JSON as it travels inward from a border: an object whose values are looked at before they are used."""

from typing import TypeAlias, TypeGuard

JsonObject: TypeAlias = dict[str, object]
"""A JSON object. Its values are ``object``, so that the type checker asks what one is before it is used."""

LARGEST_INTEGER = 2**31 - 1
LARGEST_VERSION = 2**63 - 1
"""What an integer and a bigint of Postgres hold."""


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a value is a JSON object; the keys of one are always text."""
    return isinstance(value, dict)


def as_object(value: object) -> JsonObject:
    """The value, where it is a JSON object; else an empty one."""
    return value if is_object(value) else {}


def as_objects(value: object) -> list[JsonObject]:
    """The JSON objects of a list; none for what is no list."""
    return [each for each in value if is_object(each)] if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """The value, where it is a text."""
    return value if isinstance(value, str) else None


def whole_number(value: object, *, least: int = 0, most: int = LARGEST_INTEGER) -> int | None:
    """A number within bounds; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(min(max(value, least), most))
