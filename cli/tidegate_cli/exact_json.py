"""JSON whose numbers stay what was written, for every later reader: Python, Go and JavaScript each change some."""

import json
import math
from typing import Final, Never

LEAST_INTEGER: Final = -(2**63)
MOST_INTEGER: Final = 2**63 - 1


class InexactError(ValueError):
    """A number that readers of JSON would make another one."""


def loads(text: str) -> object:
    """A document. InexactError for a number beyond ±2^63, or one that is infinite to a program."""
    value: object = json.loads(text, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_float)
    return value


def field(text: str) -> object:
    """A value on a command line: JSON, but a bare number only when JSON would write it as it stands here.

    So `7` and `1.5` are numbers; `7e45310`, `12e4`, `1.10`, `1.0`, `007`, `-0` and 20 digits are text (ValueError).
    """
    try:
        value = loads(text)
    except InexactError as error:
        if text.strip().startswith(("[", "{")):
            raise
        raise ValueError("a number that JSON can't keep") from error
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _stays(value, text):
        raise ValueError("a number that JSON would write in another way")
    return value


def _stays(value: float, text: str) -> bool:
    # 1.0 is written as 1 by others.
    return json.dumps(value) == text and not (isinstance(value, float) and value.is_integer())


def _integer(text: str) -> int:
    if len(text) <= len(str(LEAST_INTEGER)) and LEAST_INTEGER <= (value := int(text)) <= MOST_INTEGER:
        return value
    raise _inexact(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value) or (value == 0 and text.strip("-").partition("e")[0].partition("E")[0].strip("0.")):
        raise _inexact(text)
    return value


def _inexact(text: str) -> InexactError:
    shown = text if len(text) <= 40 else f"{text[:20]}…"
    return InexactError(f'{shown} would become another number: quote it, "{shown}"')


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
