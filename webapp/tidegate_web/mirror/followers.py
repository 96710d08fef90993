"""Follows the logs of runs' pods from their start: a bounded number at once, the rest read when they end.

A log's offsets count the bytes of the container's output, and of marks where some of it is missing. Whoever comes back
after a break goes on after the last line that is stored (``loglines.py``). A follow that ends is followed by one plain
read after the container's end: only that says that nothing is missing.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.kubernetes import Cluster, ClusterError, Stream, pods_path
from tidegate_web.mirror.loglines import LineReader, Piece
from tidegate_web.mirror.logwriter import CHUNK_BYTES, LogWriter
from tidegate_web.mirror.pods import CONTAINER, Owner, Owners, Pod
from tidegate_web.store.queries import logs, run_keys
from tidegate_web.store.queries.logs import Chunk, End, Place
from tidegate_web.store.records import parse_time

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")


class StoppedError(Exception):
    """The mirror stops: leave everything for the next one."""


class CapReachedError(Exception):
    """The run has as much log as is kept."""


class Follower:
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
        self._pod = pod
        self._engine = engine
        self._cluster = cluster
        self._owners = owners
        self._writer = writer
        self._stop_event = stop
        self._limit = limit_bytes
        self._patience = patience_seconds
        self._news = threading.Event()
        self._abandoned = threading.Event()
        self._stream: Stream | None = None
        self._owner: Owner | None = None
        self._run_created: datetime | None = None
        self._place = Place()
        self._total = 0

    def tell(self, pod: Pod) -> None:
        """The pod has changed."""
        # A deletion that was found by a re-list knows no more than we did.
        self._pod = pod
        self._news.set()
        if pod.gone and not pod.ended:
            self.close()

    @property
    def project(self) -> str:
        return self._pod.project

    @property
    def abandoned(self) -> bool:
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """Leave the log as it is: its end can't be seen from here any more."""
        self._abandoned.set()
        self.close()

    def close(self) -> None:
        """End a read that waits."""
        self._news.set()
        stream = self._stream
        if stream is not None:
            stream.close()

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
        except StoppedError:
            return

    def _wait(self, seconds: float) -> None:
        self._news.wait(seconds)
        self._news.clear()
        self._go_on()

    def _go_on(self) -> None:
        if self._stop_event.is_set() or self.abandoned:
            raise StoppedError

    def _find_owner(self) -> Owner | None:
        delay = 0.2
        while True:
            try:
                owner = self._owners.of(self._pod)
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
        gone: nobody will ask for its logs."""
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
                if error.status == 404:
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

        self._place, self._total, ended = self._ask(ask)
        return ended

    def _ask(self, question: Callable[[], T]) -> T:
        delay = 0.2
        while True:
            try:
                return question()
            except SQLAlchemyError:
                self._wait(delay)
                delay = min(delay * 2, 2)

    def _read_all(self) -> tuple[str, str | None]:
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
        path = f"{pods_path(self._pod.project)}/{self._pod.name}/log"
        query = {"container": CONTAINER, "timestamps": "true", "follow": "true" if follow else None}
        stream = self._cluster.stream(path, query=query, timeout=300 if follow else 30)
        self._stream = stream
        reader = LineReader(self._place)
        try:
            while data := stream.read(CHUNK_BYTES):
                self._go_on()
                for piece in reader.feed(data):
                    self._keep(piece)
            self._go_on()
            for piece in reader.end():
                self._keep(piece)
        finally:
            self._stream = None
            stream.close()

    def _keep(self, piece: Piece) -> None:
        room = max(0, self._limit - self._total)
        if len(piece.data) <= room:
            self._put(piece)
            return
        begin = piece.place.position - len(piece.data)
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

    def _end(self, mark: str, reason: str | None) -> None:
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


class Followers:
    """Starts a follower for every pod, as many at once as the settings allow; pods that have ended come first."""

    def __init__(self, *, make: Callable[[Pod], Follower], at_once: int) -> None:
        self._make = make
        self._at_once = at_once
        self._waiting: dict[str, Pod] = {}
        self._active: dict[str, Follower] = {}
        self._done: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def active(self) -> int:
        with self._lock:
            return len(self._active)

    def seen(self, pod: Pod) -> None:
        """A pod is there, has changed, or is gone."""
        with self._lock:
            follower = self._active.get(pod.uid)
            if follower is None:
                if pod.gone:
                    self._done.discard(pod.uid)
                    self._waiting.pop(pod.uid, None)
                elif pod.uid not in self._done and (pod.started or pod.ended):
                    self._waiting[pod.uid] = pod
        if follower is not None:
            follower.tell(pod)
        self._pump()

    def forget(self, project: str) -> None:
        """Follow no pod of this namespace, until one is seen again."""
        with self._lock:
            self._waiting = {uid: pod for uid, pod in self._waiting.items() if pod.project != project}
            followers = [each for each in self._active.values() if each.project == project]
        for follower in followers:
            follower.abandon()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            followers = list(self._active.values())
        for follower in followers:
            follower.close()

    def _pump(self) -> None:
        while True:
            with self._lock:
                if self._stopped or not self._waiting or len(self._active) >= self._at_once:
                    return
                # A pod that has ended may be deleted soon; a quarter of the room is kept for such.
                ended = next((pod for pod in self._waiting.values() if pod.ended), None)
                if ended is None and len(self._active) >= max(1, self._at_once * 3 // 4):
                    return
                pod = ended or next(iter(self._waiting.values()))
                del self._waiting[pod.uid]
                follower = self._active[pod.uid] = self._make(pod)
            threading.Thread(target=self._run, args=(pod, follower), name=f"log {pod.name}", daemon=True).start()

    def _run(self, pod: Pod, follower: Follower) -> None:
        try:
            follower.run()
        except Exception:
            log.exception("following a log", pod=pod.name, project=pod.project)
        with self._lock:
            self._active.pop(pod.uid, None)
            if not follower.abandoned:
                self._done.add(pod.uid)
        self._pump()
