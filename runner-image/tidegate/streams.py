"""Standard output and standard error, in whatever state a task has left them: closed, None, replaced, ASCII, a broken pipe.

What the library writes there is for people. It never fails a task, and a character that a stream can't encode is escaped.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from types import TracebackType
from typing import Any, Callable, Optional


def prepare() -> None:
    """Let what a task prints appear when it is printed, whatever its characters."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, closed, or an object of the image's own
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def write(stream: Any, text: str, *, escaped: Optional[Callable[[], str]] = None) -> None:
    """Write in one piece; ``escaped`` makes the text for a stream that can't encode this one."""
    with contextlib.suppress(Exception):  # there is no other place to write to
        try:
            if escaped is not None:
                # By the encoding: a stream that escapes by itself knows nothing of the format.
                text.encode(getattr(stream, "encoding", None) or "utf-8")
            stream.write(text)
        except UnicodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode() if escaped is None else escaped())


def say(text: str) -> None:
    """A line of the library's own on standard error."""
    write(sys.stderr, f"tidegate: {text}\n")


def show(error: BaseException, trace: Optional[TracebackType] = None) -> None:
    """The traceback of an exception on standard error, from ``trace`` on."""
    try:
        lines = traceback.format_exception(type(error), error, trace or error.__traceback__)
    except Exception:  # an exception's own code can do anything
        lines = [f"{type(error).__name__}\n"]
    write(sys.stderr, "".join(lines))


def flush() -> None:
    """Write out what is buffered. A stream that can't be flushed is replaced: Python's own flush would change the exit code."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except Exception:
            _discard(stream)
            setattr(sys, name, None)


def _discard(stream: Any) -> None:
    """Point the stream's descriptor nowhere, so that its buffer can be written when Python closes it."""
    with contextlib.suppress(Exception):  # it has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
