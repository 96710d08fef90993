"""How often to look for garbage, and when to give memory back.

A list of everything is a hundred times larger than what is kept of it. The C library holds on to what was freed for the
next time, and the next full list is minutes away.
"""

import ctypes
import gc

YOUNG_OBJECTS = 10_000


def look_less_often() -> None:
    """Look for cycles of garbage at a tenth of Python's own rate: an event makes thousands of objects, and hardly a cycle."""
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)


def give_back() -> None:
    """Return what is free to the operating system, where the C library can (glibc)."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library, which may do so by itself
