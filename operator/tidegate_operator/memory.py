"""Give memory back that lists needed for a moment.

A list of everything is a hundred times larger than what is kept of it. The C library holds on to what was freed for the
next time, and the next full list is minutes away.
"""

import ctypes
import gc


def give_back() -> None:
    """Return what is free to the operating system, where the C library can (glibc)."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library, which may do so by itself
