"""Files that a run has left open at the end of its process: what they have buffered is written, as when Python ends."""

from __future__ import annotations

import _io
import contextlib
import gc
import io
import sys


def close_files() -> None:
    """Write out what is buffered. Objects of the zygote aren't looked at: their descriptors are closed, and may be others now."""
    found = [one for one in gc.get_objects() if _io._IOBase in type(one).__mro__]
    own = [one for one in found if type(one).__module__ not in ("_io", "io")]
    texts = [one for one in found if isinstance(one, io.TextIOWrapper)]
    buffers = [one for one in found if isinstance(one, (io.BufferedWriter, io.BufferedRandom))]
    standard = (sys.stdout, sys.stderr, sys.stdin, sys.__stdout__, sys.__stderr__, sys.__stdin__)
    for one in own:  # compressed files write their end when they are closed
        if not any(one is stream for stream in standard):
            with contextlib.suppress(Exception):
                one.close()
    for one in (*texts, *buffers):
        with contextlib.suppress(Exception):
            one.flush()
