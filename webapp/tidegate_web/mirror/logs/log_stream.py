"""One reading of a pod's log: an answer of its node's kubelet, from the beginning of the present file on, and looks at
whether that is still the present one while the answer goes on.
"""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from tidegate_web.cluster.client import Cluster, pods_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.mirror.logs.files import LONGEST_STAMP, Beginning
from tidegate_web.mirror.logs.lines import LONGEST_LINE, LineReader, Piece
from tidegate_web.mirror.logs.rotation_schedule import RotationSchedule
from tidegate_web.mirror.logs.writer import CHUNK_BYTES
from tidegate_web.mirror.pods import CONTAINER, Pod
from tidegate_web.store.queries.logs import Place

HEAD_BYTES = LONGEST_LINE + 2 * LONGEST_STAMP
"""Of a file: a line that isn't longer than usual, and the time of the next."""
STILL_SECONDS = 2.0
"""A reader that waits so long, while the node has another file, waits for nothing."""


class LogStream:
    """Reads what isn't stored yet; to be closed."""

    def __init__(
        self,
        pod: Pod,
        *,
        cluster: Cluster,
        place: Place,
        follow: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._path = f"{pods_path(pod.project)}/{pod.name}/log"
        self._clock = clock
        self._lines = LineReader(place)
        self._follow = follow
        self._looks = RotationSchedule(now=clock())
        self._waits_since: float | None = None
        self._behind_since: float | None = None
        self._stream = cluster.stream(
            self._path, query=self._query(follow="true" if follow else None), timeout=300 if follow else 30
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, from any thread."""
        self._stream.close()

    def pieces(self) -> Iterator[Piece]:
        """What is new, as it comes; ClusterError when it breaks."""
        while data := self._read():
            self._looks.came(len(data))
            yield from self._lines.feed(data)
        yield from self._lines.end(last=not self._follow)

    def look(self) -> None:
        """See whether the node has begun another file, if it is time to, and end a reading that has not heard of it."""
        now = self._clock()
        if self._follow and self._looks.is_due(now, held_up=self._waits_since is None):
            begins = self._present_beginning()
            if begins is not None:
                self._lines.files.begins(begins)
        since = self._waits_since
        if since is None or not self._lines.files.behind:
            self._behind_since = None
            return
        self._behind_since = self._behind_since or now
        if now - max(since, self._behind_since) >= STILL_SECONDS:
            self.close()

    def _read(self) -> bytes:
        self._waits_since = self._clock()
        try:
            return self._stream.read(CHUNK_BYTES)
        finally:
            self._waits_since = None

    def _present_beginning(self) -> Beginning | None:
        head = b""
        try:
            stream = self._cluster.stream(self._path, query=self._query(limitBytes=HEAD_BYTES), timeout=5)
            try:
                while piece := stream.read(HEAD_BYTES):
                    head += piece
            finally:
                stream.close()
        except ClusterError:
            return None  # the reading itself will find out
        return Beginning.of(head, more=len(head) >= HEAD_BYTES)

    def _query(self, **more: object) -> dict[str, object]:
        return {"container": CONTAINER, "timestamps": "true", **more}
