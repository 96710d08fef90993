"""One value of a payload as the text of a form's field, and back. Pure."""

import json
import re
from typing import Final

from tidegate_web.shared import json_text

WHOLE: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
NUMBER: Final = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)
INFINITY: Final = float("inf")


class UnreadableError(ValueError):
    """A text is not what its field takes; the message says what it takes."""


def read_number(sent: str, *, whole: bool) -> int | float:
    """A number; raises UnreadableError."""
    text = sent.strip()
    if WHOLE.fullmatch(text):
        return int(text)
    if whole:
        raise UnreadableError("must be a whole number of at most 18 digits")
    if not NUMBER.fullmatch(text) or abs(float(text)) == INFINITY:
        raise UnreadableError("must be a number")
    return float(text)


def read_json(sent: str) -> object:
    """Any JSON; raises UnreadableError with the line."""
    if json_text.is_too_deep(sent):
        raise UnreadableError(f"is nested deeper than {json_text.MOST_DEPTH} levels")
    try:
        found: object = json.loads(sent, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"must be JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise UnreadableError(f"must be JSON: {error}") from None
    return found


def text_of(value: object, *, as_json: bool) -> str | None:
    """A value as the text of its field: JSON, or as one writes it. None for what only JSON can say."""
    if as_json:
        return json.dumps(value, ensure_ascii=False) if not isinstance(value, dict | list) else _pretty(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, int | float) else None


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
