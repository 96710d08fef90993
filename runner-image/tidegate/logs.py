"""``log.info("resized", picture=name)``: lines of a log that programs can read, one JSON object each, on standard output.

What a task prints is in the same log, as it is. A value that isn't JSON is written as text: a log line never fails a task.
``time``, ``level`` and ``message`` are the line's own.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Optional, Tuple

from tidegate import streams


class Log:
    """Writes structured lines."""

    def debug(self, message: str, /, **values: object) -> None:
        """What helps to find a fault."""
        self._write("debug", message, values)

    def info(self, message: str, /, **values: object) -> None:
        """What goes on."""
        self._write("info", message, values)

    def warning(self, message: str, /, **values: object) -> None:
        """What a user should look at."""
        self._write("warning", message, values)

    def error(self, message: str, /, **values: object) -> None:
        """What went wrong."""
        self._write("error", message, values)

    def _write(self, level: str, message: str, values: dict[str, object]) -> None:
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        record = {**values, "time": at, "level": level, "message": message}
        line = _line(record, ascii_only=False)
        if line is None:  # NaN and infinities, which are no JSON, become text where they stand
            try:
                record = {name: _finite(field) for name, field in record.items()}
                line = _line(record, ascii_only=False)
            except RecursionError:
                line = None
        if line is None:  # keys that are no text, circles
            record = {"time": at, "level": level, "message": _text(message), "values": _text(values)}
            line = _line(record, ascii_only=False) or ""
        # One write: lines of several threads don't mix. JSON's own escapes, where the stream can't encode the line.
        streams.write(sys.stdout, line, escaped=lambda: _line(record, ascii_only=True) or "")


def _line(record: dict[str, object], *, ascii_only: bool) -> Optional[str]:
    try:
        line = json.dumps(record, default=_text, ensure_ascii=ascii_only, allow_nan=False) + "\n"
        line.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return _line(record, ascii_only=True)
    except (TypeError, ValueError, RecursionError):
        return None
    return line


def _finite(value: object, within: Tuple[int, ...] = ()) -> object:
    """The value with text in place of NaN and infinities. A circle stays one, for the writer of JSON to find."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if not isinstance(value, (dict, list, tuple)) or id(value) in within:
        return value
    inner = (*within, id(value))
    if isinstance(value, dict):
        return {key: _finite(item, inner) for key, item in value.items()}
    return [_finite(item, inner) for item in value]


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # a value's own code can do anything
        return f"<{type(value).__name__}: {type(error).__name__}>"
