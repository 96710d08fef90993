"""JSON, by orjson: half of the bytes that the operator handles are read and written for each run.

What orjson doesn't take (text nested deeper than it goes, lone surrogates, numbers beyond 64 bits), the standard library
does: the apiserver takes all of it, and a watch that can't decode an event would end. What nests deeper than JSON_DEPTH_MAX
is cut off there before: the apiserver takes 10,000 levels, which no recursive reader does. Enough of it is left to see that
it is too deep.
"""

import json
import re
from typing import Final

import orjson
from tidegate_api.names import JSON_DEPTH_MAX

DEPTH_READ: Final = JSON_DEPTH_MAX + 50
"""Levels that are read: a payload that is one level too deep stands some levels down in its object, and is seen to be so."""

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def loads(raw: bytes) -> object:
    """What the text says, cut off below DEPTH_READ levels. Raises ValueError."""
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = json.loads(cut(raw))
    return value


def dumps(value: object) -> bytes:
    """As text, without spaces."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def depth(text: bytes | str) -> int:
    """How many arrays and objects are open at the deepest place of a JSON text."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if raw.count(b"{") + raw.count(b"[") <= 1:
        return raw.count(b"{") + raw.count(b"[")
    level = deepest = 0
    for token in _TOKEN.finditer(raw):
        sign = token[0]
        if sign in b"{[":
            level += 1
            deepest = max(deepest, level)
        elif sign in b"}]":
            level -= 1
    return deepest


def is_deep(text: bytes | str, *, limit: int = JSON_DEPTH_MAX) -> bool:
    """Whether a JSON text nests deeper than `limit`. Costs two counts where it can't."""
    brackets = text.count(b"{") + text.count(b"[") if isinstance(text, bytes) else text.count("{") + text.count("[")
    return brackets > limit and depth(text) > limit


def cut(raw: bytes, *, limit: int = DEPTH_READ) -> bytes:
    """The same text with null in place of every array and object that is nested deeper than `limit`."""
    if raw.count(b"{") + raw.count(b"[") <= limit:
        return raw
    kept: list[bytes] = []
    level = end = 0
    for token in _TOKEN.finditer(raw):
        sign = token[0]
        if sign in b"{[":
            level += 1
            if level == limit + 1:
                kept.append(raw[end : token.start()] + b"null")
        elif sign in b"}]":
            if level == limit + 1:
                end = token.end()
            level -= 1
    if not kept:
        return raw
    return b"".join(kept) + (raw[end:] if level <= limit else b"")
