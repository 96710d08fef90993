"""What counts as JSON in a result file, which any program writes with any bytes.

A value is never taken for another one than was written. A number that JSON readers would change (an integer beyond 64 bits,
one that overflows or vanishes as a double) makes the text no JSON, and so does nesting beyond JSON_DEPTH_MAX.
"""

import json
import re
from typing import Final, NoReturn

from tidegate_api.names import JSON_DEPTH_MAX

from tidegate_operator import json_codec

RESULT_REF: Final = "tidegate.dev/resultRef"
RESULT_TOO_LARGE: Final = "tidegate.dev/resultTooLarge"
SHA256: Final = re.compile(r"[0-9a-f]{64}")
INTEGER_DIGITS: Final = 20
"""Of an integer within 64 bits, with its sign."""
BYTES_MAX: Final = 2**53


def read_result(text: str) -> object:
    """The value. Raises ValueError for what is no JSON, or none that all readers read alike."""
    if json_codec.is_deep(text):
        raise ValueError(f"nested deeper than {JSON_DEPTH_MAX} levels")
    value: object = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_float)
    return value


def is_result_ref(value: object) -> bool:
    """Whether a value says where the store holds a result: {bytes, sha256}."""
    if not isinstance(value, dict) or set(value) != {"bytes", "sha256"}:
        return False
    size, digest = value["bytes"], value["sha256"]
    return type(size) is int and 0 <= size <= BYTES_MAX and isinstance(digest, str) and bool(SHA256.fullmatch(digest))


def refused_result(text: str) -> str | None:
    """Why the store has not taken a result, where the result file of a task that failed says that; else None."""
    if RESULT_TOO_LARGE not in text:
        return None
    try:
        value = read_result(text)
    except ValueError:
        return None
    why = value.get(RESULT_TOO_LARGE) if isinstance(value, dict) and len(value) == 1 else None
    return why if isinstance(why, str) else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(f"{text[:40]} is beyond 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    digits = text.lower().partition("e")[0]
    vanished = value == 0.0 and any(digit in "123456789" for digit in digits)
    if value in (float("inf"), float("-inf")) or vanished:
        raise ValueError(f"{text[:40]} is no number that a double can hold")
    return value
