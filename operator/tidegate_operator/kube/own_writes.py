"""What a watch only repeats of our own writes, dropped before it is decoded.

The answer to a write is in the cache at once, so its event says nothing new; yet kopf would decode it, make it a queue, a
task and loggers, and hand it over to be found old. That is half of all events of a run, and an eighth of what it costs.

A version is that of one write to the whole store: no two objects ever have the same.
"""

import re
from typing import Final

MOST_NOTED: Final = 10_000
"""Versions remembered whose events have not come, as when a watch lists again."""

# The apiserver writes a custom resource with sorted keys: metadata before spec and status, in it resourceVersion after
# annotations and labels, whose values have their quotes escaped.
_VERSION: Final = re.compile(rb'"resourceVersion":"(\d+)"')
_MODIFIED: Final = b'{"type":"MODIFIED"'


class OwnWrites:
    """Versions that our own writes have made and whose events are still to come."""

    def __init__(self) -> None:
        self._versions: dict[bytes, None] = {}

    def note(self, version: str) -> None:
        """A write was answered with this version, and the cache has it."""
        if len(self._versions) >= MOST_NOTED:
            del self._versions[next(iter(self._versions))]
        self._versions[version.encode()] = None

    def is_echo(self, line: bytes) -> bool:
        """Whether a line of a watch reports one of them; it is forgotten then."""
        if not self._versions or not line.startswith(_MODIFIED):
            return False
        found = _VERSION.search(line)
        if found is None or found[1] not in self._versions:
            return False
        del self._versions[found[1]]
        return True
