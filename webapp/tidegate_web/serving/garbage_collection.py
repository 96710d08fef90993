"""How often a process that serves looks for cycles of garbage, and where.

A full collection looks at every object that there is: those of the modules, the routes and the compiled pages as well, which stay for
ever. That takes a quarter of a second, in the middle of whichever request makes it due.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""Objects that are made until the youngest are looked at. A page makes thousands, and hardly a cycle; Python's own 700 would look
several times while it is made."""


def leave_out_what_is_there() -> None:
    """Have no collection look at what exists now. To be called once, when a process has made all that it serves with."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
