"""JSON of any depth: what an apiserver accepts can be nested deeper than a recursive parser, or Postgres, can follow.

The apiserver takes 10,000 levels. Python's parser raises RecursionError near 1,000 and Postgres runs out of stack later, so one such
object would make a whole list or watch unreadable. Here what is too deep is cut before it is parsed. Pure.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST_DEPTH = 500
"""Levels of nesting that the API takes and the archive stores."""
CUT_DEPTH = MOST_DEPTH + 100
"""Levels that are parsed. What is within ``MOST_DEPTH`` of a field of an object in a list is never cut."""
CUT = "[Tidegate: nested too deep to be read]"

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u(?:d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|[0-9a-f]{4})|.)", re.DOTALL)
_REPLACED = "\\ufffd"


def decode(data: bytes | str) -> Any:
    """The value of a JSON text; parts deeper than ``CUT_DEPTH`` are replaced by ``CUT``. ValueError for what isn't JSON."""
    try:
        return json.loads(data)
    except RecursionError:
        text = data if isinstance(data, str) else data.decode("utf-8")
    return json.loads(cut(text))


def cut(text: str, *, depth: int = CUT_DEPTH) -> str:
    """The same text, with every array and object below ``depth`` levels replaced by a string that says so."""
    kept: list[str] = []
    level = begin = 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "[{":
            level += 1
            if level == depth + 1:
                kept += (text[begin : token.start()], json.dumps(CUT))
        elif sign in "]}":
            if level == depth + 1:
                begin = token.end()
            level -= 1
    kept.append(text[begin:])
    return "".join(kept)


def is_too_deep(text: str, *, most: int = MOST_DEPTH) -> bool:
    """Whether a JSON text has more than ``most`` levels."""
    # The number of brackets bounds the depth; nearly every text has fewer.
    if text.count("{") + text.count("[") <= most:
        return False
    level = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            level += 1
            if level > most:
                return True
        elif token[0] in "]}":
            level -= 1
    return False


def value_is_too_deep(value: object, *, most: int = MOST_DEPTH) -> bool:
    """The same of a value, found without recursion."""
    level: list[object] = [value] if isinstance(value, Mapping | list) else []
    for _ in range(most):
        level = [item for each in level for item in _containers(each)]
    return bool(level)


def _containers(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        yield from (item for item in value.values() if isinstance(item, Mapping | list))
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping | list))


def without_unstorable(text: str) -> str:
    """A JSON text as ``json.dumps`` writes it, with U+FFFD for NUL and for half a surrogate pair: Postgres refuses both."""
    if "\\u0000" not in text and "\\ud" not in text:
        return text
    return _ESCAPE.sub(_storable_escape, text)


def _storable_escape(found: re.Match[str]) -> str:
    escape = found[0]
    # A whole pair is one match, of twelve signs.
    alone = len(escape) == 6 and (escape == "\\u0000" or (escape[2] == "d" and escape[3] in "89abcdef"))
    return _REPLACED if alone else escape
