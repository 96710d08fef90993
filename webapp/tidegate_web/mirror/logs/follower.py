"""Follows the log of a run's pod from its start to its end.

A log's offsets count the bytes of the container's output, and of marks where some of it is missing. A reader that comes back
after a break goes on after the last line that is stored (``lines.py``). A follow that ends is followed by one plain
read after the container's end: only that says that nothing is missing.
"""

import threading
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine

from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.mirror.logs.lines import Piece, whole_characters
from tidegate_web.mirror.logs.log_stream import LogStream
from tidegate_web.mirror.logs.pod_follower import PodFollower, StoppedError
from tidegate_web.mirror.logs.writer import LogCutError, LogWriter
from tidegate_web.mirror.pods import Owner, Owners, Pod
from tidegate_web.shared.times import parse_time
from tidegate_web.store.models.runs import LogMark
from tidegate_web.store.queries import logs, run_keys
from tidegate_web.store.queries.logs import Chunk, End, Place


class CapReachedError(Exception):
    """The run has as much log as is kept."""


class Follower(PodFollower[LogStream]):
    """Reads one pod's log to its end."""

    def __init__(
        self,
        pod: Pod,
        *,
        engine: Engine,
        cluster: Cluster,
        owners: Owners,
        writer: LogWriter,
        stop: threading.Event,
        limit_bytes: int,
        patience_seconds: float,
    ) -> None:
        super().__init__(pod, engine=engine, stop=stop)
        self._cluster = cluster
        self._owners = owners
        self._writer = writer
        self._limit = limit_bytes
        self._patience = patience_seconds
        self._owner: Owner | None = None
        self._run_created: datetime | None = None
        self._place = Place()
        self._total = 0

    def update(self, pod: Pod) -> None:
        """The pod has changed."""
        # A deletion that was found by a re-list knows no more than we did.
        self._pod = pod
        self._news.set()
        if pod.gone and not pod.ended:
            self.close()

    def look(self) -> None:
        """See, from another thread, whether the node has begun a file that the reader doesn't know of."""
        reading = self._reading
        if reading is not None:
            reading.look()

    def run(self) -> None:
        try:
            self._owner = self._find_owner()
            if self._owner is None:
                return
            self._run_created = self._find_created()
            if self._run_created is None or self._find_place():
                return
            mark, reason = self._read_all()
            self._end(mark, reason)
        except (StoppedError, LogCutError):
            return

    def _find_owner(self) -> Owner | None:
        delay = 0.2
        while True:
            try:
                owner = self._ask(lambda: self._owners.of(self._pod))
            except ClusterError:
                self._wait(delay)
                delay = min(delay * 2, 5)
                continue
            return owner or self._known_owner()

    def _known_owner(self) -> Owner | None:
        """A pod whose Job is gone stays its run's when it was recognised before."""
        run_uid = self._pod.claimed_run
        if len(run_uid) != 36:
            return None
        attempt = self._ask(lambda: self._recognised(run_uid))
        return None if attempt is None else Owner(run_uid=run_uid, run_name="", attempt=attempt)

    def _recognised(self, run_uid: str) -> int | None:
        with self._engine.connect() as connection:
            created = run_keys.created(connection, [run_uid]).get(run_uid)
            if created is None:
                return None
            return logs.run_of_pod(connection, run_uid=run_uid, run_created=created, pod_uid=self._pod.uid)

    def _find_created(self) -> datetime | None:
        """When the run was created, which says where its logs are kept; None for a run that was never stored and is
        gone: its logs won't be asked for."""
        assert self._owner is not None
        uid, name = self._owner.run_uid, self._owner.run_name
        delay = 0.2

        def stored() -> datetime | None:
            with self._engine.connect() as connection:
                return run_keys.created(connection, [uid]).get(uid)

        while True:
            created = self._ask(stored)
            if created is not None or not name:
                return created
            try:
                # Its pod was seen before it was written.
                metadata = self._cluster.get_run(self._pod.project, name)["metadata"]
            except ClusterError as error:
                if error.not_found:
                    return None
                self._wait(delay)
                delay = min(delay * 2, 5)
                continue
            return parse_time(metadata["creationTimestamp"]) if metadata["uid"] == uid else None

    def _find_place(self) -> bool:
        """Find out where to go on from; True when there is nothing left to do."""
        assert self._owner is not None
        assert self._run_created is not None
        run_uid, run_created = self._owner.run_uid, self._run_created

        def ask() -> tuple[Place, int, bool]:
            with self._engine.connect() as connection:
                return logs.place(connection, run_uid=run_uid, run_created=run_created, pod_uid=self._pod.uid)

        self._writer.begin(self._pod.uid)
        self._place, self._total, ended = self._ask(ask)
        return ended

    def _read_all(self) -> tuple[LogMark, str | None]:
        """Read until the end; the end mark and why."""
        delay, waited, followed = 0.2, 0.0, False
        while True:
            pod = self._pod
            if pod.gone:
                if pod.ended and followed:
                    return "complete", None
                return "lost", "The pod was deleted before its log was read to the end."
            if pod.ended and not pod.started:
                return "complete", "The container never started."
            try:
                self._read(follow=not pod.ended)
            except CapReachedError:
                return "truncated", f"A run keeps {self._limit} bytes of logs."
            except ClusterError as error:
                self._go_on()
                if self._pod.gone:
                    continue
                if self._pod.ended:
                    if waited >= self._patience:
                        return "lost", f"The log could not be read: {error.message}"[:500]
                    waited += delay
                self._wait(delay)
                delay = min(delay * 2, 5)
                continue
            if pod.ended:
                return "complete", None
            followed = True
            if not self._pod.ended and not self._pod.gone:
                self._wait(2)  # the pod's own end comes a moment after that of its log

    def _read(self, *, follow: bool) -> None:
        with LogStream(self._pod, cluster=self._cluster, place=self._place, follow=follow) as reading:
            self._reading = reading
            try:
                self._go_on()
                for piece in reading.pieces():
                    self._go_on()
                    self._keep(piece)
                self._go_on()
            finally:
                self._reading = None

    def _keep(self, piece: Piece) -> None:
        room = max(0, self._limit - self._total)
        if len(piece.data) <= room:
            self._put(piece)
            return
        begin = piece.place.position - len(piece.data)
        room = whole_characters(piece.data[:room])
        cut = replace(piece.place, position=begin + room)
        if room:
            self._put(Piece(data=piece.data[:room], place=cut))
        mark = f"\n[Tidegate: the log is cut here, a run keeps {self._limit} bytes]\n".encode()
        self._put(Piece(data=mark, place=replace(cut, position=cut.position + len(mark))))
        raise CapReachedError

    def _put(self, piece: Piece) -> None:
        assert self._owner is not None
        assert self._run_created is not None
        chunk = Chunk(
            run_uid=self._owner.run_uid,
            run_created=self._run_created,
            project=self._pod.project,
            attempt=self._owner.attempt,
            pod_uid=self._pod.uid,
            pod_name=self._pod.name,
            data=piece.data,
            place=piece.place,
        )
        if not self._writer.put(chunk):
            raise StoppedError
        self._place = piece.place
        self._total += len(piece.data)

    def _end(self, mark: LogMark, reason: str | None) -> None:
        assert self._owner is not None
        self._writer.put(
            End(
                run_uid=self._owner.run_uid,
                project=self._pod.project,
                attempt=self._owner.attempt,
                pod_uid=self._pod.uid,
                pod_name=self._pod.name,
                mark=mark,
                reason=reason,
            )
        )
