"""Follows the log of a worker of a pool, and takes it apart by the runs that have written it.

A line counts for a run of the worker's namespace whose status names this pod and this hand-over: anything else that says so is
ignored. What is stored of a run is known by how many bytes of it are (``Place.file_base``), so a log that is read again stores
nothing twice. A run whose end is not seen when its container's log is read to the end is marked as lost, with why.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import Engine

from tidegate_web.cluster.client import Cluster, Stream, pods_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.mirror.logs.pod_follower import PodFollower, StoppedError
from tidegate_web.mirror.logs.worker_lines import LONGEST_LINE, MISSING, RunLine, parse_line
from tidegate_web.mirror.logs.writer import CHUNK_BYTES, LogCutError, LogRefusedError, LogWriter
from tidegate_web.mirror.pods import Pod
from tidegate_web.shared.json_types import as_object, as_objects
from tidegate_web.shared.times import parse_time
from tidegate_web.store.models.runs import LogMark
from tidegate_web.store.queries import logs, run_keys
from tidegate_web.store.queries.logs import Chunk, End, Place

log = structlog.stdlib.get_logger(__name__)

CONTAINER: Final = "worker"
QUIET_SECONDS: Final = 30.0
"""A log that says nothing for so long is asked for again: a node that has begun another file may not say so."""
ENDED_KEPT: Final = 4096
"""Hand-overs of which nothing more is stored, remembered so that nothing is asked about them."""


@dataclass(kw_only=True, slots=True)
class RunLog:
    """The log of one hand-over."""

    uid: str
    created: datetime
    attempt: int
    place: Place
    """`file_base`: bytes of the run's own that are stored."""
    total: int


class WorkerFollower(PodFollower[Stream]):
    """Reads the log of one worker pod to its end."""

    def __init__(
        self,
        pod: Pod,
        *,
        engine: Engine,
        cluster: Cluster,
        writer: LogWriter,
        stop: threading.Event,
        limit_bytes: int,
    ) -> None:
        super().__init__(pod, engine=engine, stop=stop)
        self._cluster, self._writer, self._limit = cluster, writer, limit_bytes
        self._open: dict[str, RunLog] = {}
        self._done: dict[str, None] = {}
        """Hand-overs that have their end mark, or are no run's of this pod."""
        self._read_to: int | None = None
        """The node's time of the last line that was read."""

    def update(self, pod: Pod) -> None:
        """The pod has changed."""
        self._pod = pod
        self._news.set()
        if pod.gone:
            self.close()

    def run(self) -> None:
        """Until the pod has ended."""
        try:
            self._read_all()
        except StoppedError:
            return

    # Reading

    def _read_all(self) -> None:
        delay = 0.2
        container = self._pod.container
        while True:
            pod = self._pod
            try:
                if pod.container != container and container:
                    self._read(follow=False, previous=True)
                    self._lose_all("Its worker ended before the end of its log was seen.")
                    container, self._read_to = pod.container, None
                self._read(follow=not (pod.ended or pod.gone))
                delay = 0.2
            except ClusterError as error:
                self._go_on()
                if not pod.gone:
                    log.debug("a worker's log can't be read now", pod=pod.name, reason=error.message)
            if pod.ended or pod.gone:
                self._lose_all("Its worker was gone before the end of its log was seen.")
                return
            container = container or pod.container
            self._wait(delay)
            delay = min(delay * 2, 5)

    def _read(self, *, follow: bool, previous: bool = False) -> None:
        """Read what comes, or all that there is."""
        query: dict[str, object] = {"container": CONTAINER, "timestamps": "true", "follow": "true" if follow else None}
        query["previous"] = "true" if previous else None
        if self._read_to is not None:
            # In whole seconds: what is read twice is stored once.
            since = datetime.fromtimestamp(self._read_to // 1_000_000_000, UTC)
            query["sinceTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"{pods_path(self._pod.project)}/{self._pod.name}/log"
        stream = self._reading = self._cluster.stream(path, query=query, timeout=QUIET_SECONDS)
        try:
            self._go_on()
            for raw in self._lines(stream):
                self._go_on()
                line = parse_line(raw)
                if line is not None:
                    self._take(line)
                    self._read_to = line.time if line.time is not None else self._read_to
        finally:
            stream.close()
            self._reading = None

    def _lines(self, stream: Stream) -> Iterator[bytes]:
        rest, skipping = b"", False
        while data := stream.read(CHUNK_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for raw in lines:
                if not skipping:
                    yield raw
                skipping = False
            if len(rest) > LONGEST_LINE:
                rest, skipping = b"", True
        if rest and not skipping:
            yield rest

    # By run

    def _take(self, line: RunLine) -> None:
        if line.handover in self._done:
            return
        found = self._open.get(line.handover) or self._find(line)
        if found is None:
            self._forget(line.handover)
            return
        try:
            self._keep(found, line)
        except (LogCutError, LogRefusedError):
            self._forget(line.handover)

    def _keep(self, found: RunLog, line: RunLine) -> None:
        if line.at > found.place.file_base:
            self._put(found, line, MISSING, source=line.at)
        if line.ends:
            self._end(line.handover, found, "complete", None)
            return
        new = line.data[max(0, found.place.file_base - line.at) :]
        if not new:
            return
        if found.total + len(new) > self._limit:
            mark = f"[Tidegate: the log is cut here, a run keeps {self._limit} bytes]\n".encode()
            self._put(found, line, mark, source=found.place.file_base)
            self._end(line.handover, found, "truncated", f"A run keeps {self._limit} bytes of logs.")
            return
        self._put(found, line, new, source=found.place.file_base + len(new))

    def _put(self, found: RunLog, line: RunLine, data: bytes, *, source: int) -> None:
        """Store `data`; `source`: how many bytes of the run's own are stored then."""
        place = replace(found.place, position=found.place.position + len(data), file_base=source, line_at=line.time)
        chunk = Chunk(
            run_uid=found.uid,
            run_created=found.created,
            project=self._pod.project,
            attempt=found.attempt,
            pod_uid=line.handover,
            pod_name=self._pod.name,
            data=data,
            place=place,
        )
        if not self._writer.put(chunk):
            raise StoppedError
        found.place, found.total = place, found.total + len(data)

    def _end(self, handover: str, found: RunLog, mark: LogMark, reason: str | None) -> None:
        end = End(
            run_uid=found.uid,
            project=self._pod.project,
            attempt=found.attempt,
            pod_uid=handover,
            pod_name=self._pod.name,
            mark=mark,
            reason=reason,
        )
        if not self._writer.put(end):
            raise StoppedError
        self._forget(handover)

    def _lose_all(self, reason: str) -> None:
        for handover, found in list(self._open.items()):
            try:
                self._end(handover, found, "lost", reason)
            except (LogCutError, LogRefusedError):
                self._forget(handover)

    def _forget(self, handover: str) -> None:
        self._open.pop(handover, None)
        self._done[handover] = None
        while len(self._done) > ENDED_KEPT:
            del self._done[next(iter(self._done))]

    def _find(self, line: RunLine) -> RunLog | None:
        """The log of a hand-over as far as it is stored; None where it is no run's of this pod, or has its end mark."""
        created = self._ask(lambda: self._stored(line)) or self._in_cluster(line)
        if created is None:
            return None

        def stored() -> tuple[Place, int, bool]:
            with self._engine.connect() as connection:
                return logs.place(connection, run_uid=line.uid, run_created=created, pod_uid=line.handover)

        place, total, ended = self._ask(stored)
        if ended:
            return None
        found = RunLog(uid=line.uid, created=created, attempt=line.attempt, place=place, total=total)
        self._open[line.handover] = found
        return found

    def _stored(self, line: RunLine) -> datetime | None:
        with self._engine.connect() as connection:
            created = run_keys.created(connection, [line.uid]).get(line.uid) if len(line.uid) == 36 else None
            if created is None:
                return None
            status = logs.status_of(connection, run_uid=line.uid, run_created=created, project=self._pod.project)
            return created if status is not None and self._names(status, line) else None

    def _in_cluster(self, line: RunLine) -> datetime | None:
        """Of a run that isn't stored yet: its status names the hand-over before the worker has it."""
        delay = 0.2
        while True:
            try:
                run = self._cluster.get_run(self._pod.project, line.run)
            except ClusterError as error:
                if error.not_found or not error.unavailable:
                    return None
                self._wait(delay)
                delay = min(delay * 2, 5)
                continue
            metadata = run["metadata"]
            if metadata["uid"] != line.uid or not self._names(as_object(run.get("status")), line):
                return None
            return parse_time(metadata["creationTimestamp"])

    def _names(self, status: object, line: RunLine) -> bool:
        return any(
            attempt.get("handover") == line.handover
            and attempt.get("podUid") == self._pod.uid
            and attempt.get("number") == line.attempt
            for attempt in as_objects(as_object(status).get("attempts"))
        )
