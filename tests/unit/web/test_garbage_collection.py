"""serving/garbage_collection: what a process serves with is left out of collections."""

import subprocess
import sys
from typing import Final

PROGRAM: Final = """
import gc
from tidegate_web.serving.garbage_collection import leave_out_what_is_there

class Node:
    pass

there = len(gc.get_objects())
leave_out_what_is_there()
assert gc.get_freeze_count() >= there * 0.9, (gc.get_freeze_count(), there)
assert len(gc.get_objects()) < there * 0.1

circle = Node()
circle.itself = circle
del circle
assert gc.collect() >= 1, "a circle that was made later is still found"
"""


def test_what_is_there_is_looked_at_no_more_and_what_is_made_later_is() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
