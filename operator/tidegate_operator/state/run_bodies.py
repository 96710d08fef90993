"""Bodies of runs that have yet to start, so that a start needs no read.

A body as the watch hands it over is ten times its JSON. So it stays as it is only until the first decision. Of a run that waits
longer the JSON is kept, within a budget for all of them together; beyond it a run is read again when its turn has come.
"""

from typing import Final, cast

from tidegate_api.bodies import TaskRunBody

from tidegate_operator import json_codec

WAITING_BYTES_MAX: Final = 16 * 1024 * 1024
"""JSON of all waiting runs together: some 20,000 of ordinary size."""


class RunBodies:
    """What each run looked like when it was last seen."""

    def __init__(self, *, bytes_max: int = WAITING_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._fresh: dict[str, TaskRunBody] = {}
        self._waiting: dict[str, bytes] = {}
        self.waiting_bytes = 0

    def put(self, uid: str, body: TaskRunBody) -> None:
        """A run that hasn't started is as given."""
        self.drop(uid)
        self._fresh[uid] = body

    def pack(self, uid: str) -> None:
        """The run waits: no more than its JSON is kept, and not even that where there is no room for it."""
        body = self._fresh.pop(uid, None)
        if body is None:
            return
        meta = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
        packed = json_codec.dumps({**body, "metadata": meta})
        if self.waiting_bytes + len(packed) <= self._bytes_max:
            self._waiting[uid] = packed
            self.waiting_bytes += len(packed)

    def find(self, uid: str) -> TaskRunBody | None:
        """The body, where it is kept."""
        if (body := self._fresh.get(uid)) is not None:
            return body
        packed = self._waiting.get(uid)
        return cast("TaskRunBody", json_codec.loads(packed)) if packed is not None else None

    def drop(self, uid: str) -> None:
        """Nothing starts it any more, or it has changed."""
        self._fresh.pop(uid, None)
        if (packed := self._waiting.pop(uid, None)) is not None:
            self.waiting_bytes -= len(packed)
