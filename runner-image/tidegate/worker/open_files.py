"""Files that a run has left open at the end of its process: what they have buffered is written, as when Python ends."""

from __future__ import annotations

import _io
import contextlib
import gc
import io
import sys
from typing import Callable


def close_files() -> None:
    """Write out what is buffered. Objects of the zygote aren't looked at: their descriptors are closed, and may be others now."""
    found = [one for one in gc.get_objects() if _io._IOBase in type(one).__mro__]
    own = [one for one in found if type(one).__module__ not in ("_io", "io")]
    texts = [one for one in found if isinstance(one, io.TextIOWrapper)]
    buffers = [one for one in found if isinstance(one, (io.BufferedWriter, io.BufferedRandom))]
    standard = (sys.stdout, sys.stderr, sys.stdin, sys.__stdout__, sys.__stderr__, sys.__stdin__)
    # From the outer ones to the inner ones: text goes through a compressed file into a buffer.
    for text in texts:
        _quietly(text.flush)
    for one in own:  # compressed files write their end when they are closed
        if not any(one is stream for stream in standard):
            _quietly(one.close)
    for buffer in buffers:
        _quietly(buffer.flush)


def _quietly(action: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # it is closed, or nothing takes what it has
        action()
