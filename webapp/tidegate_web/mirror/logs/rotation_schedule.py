"""When to look how the node's present file of a log begins. Pure.

A node begins another file at 10 MiB, unless it is configured otherwise, and looks for that every 10 s. So there is something to see only
where much has come, and a look every 5 s sees each file before it is gone. A log that goes on slowly is looked at more
and more seldom: each look is a request.
"""

WORTH_BYTES = 256 * 1024
"""What has to come before a look."""
SECONDS = 5.0
"""Between two looks, while much comes."""
SELDOM_SECONDS = 300.0
"""Between two looks at a log that says nothing."""


class RotationSchedule:
    """The looks of one reading; times are monotonic, in seconds."""

    def __init__(self, *, now: float) -> None:
        self._came = 0
        self._came_before = 0
        self._interval = SECONDS
        self._looked = now

    def came(self, count: int) -> None:
        """So many bytes, by the thread that reads."""
        self._came += count

    def is_due(self, now: float, *, held_up: bool = False) -> bool:
        """Whether to look, by the thread that looks; it does so at once. ``held_up``: the reader waits for something else than the
        node, so that nothing comes says nothing of how much the node writes."""
        if self._came < WORTH_BYTES:
            return False
        much = held_up or self._came - self._came_before >= WORTH_BYTES
        if now - self._looked < (SECONDS if much else self._interval):
            return False
        self._interval = SECONDS if much else min(self._interval * 2, SELDOM_SECONDS)
        self._came_before = self._came
        self._looked = now
        return True
