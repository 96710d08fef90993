"""Log chunks into Postgres, many followers' at a time, then to viewers. One writer, so that the chunks of a run are
stored in the order of their ids and a viewer can see whether it has missed one.

A log of which Postgres refuses a piece is set aside; those of others are stored. A log of a project that has used what the archive
keeps for it is cut.
"""

import queue
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from tidegate_web.events.channels import publish_logs
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.worker import Worker, beat_here
from tidegate_web.store import partitions
from tidegate_web.store.engine import is_of_the_data
from tidegate_web.store.models.runs import LogMark
from tidegate_web.store.queries import logs, project_bytes
from tidegate_web.store.queries.logs import Chunk, End

log = structlog.stdlib.get_logger(__name__)

KIND = "Log"
"""What is set aside: the log of a pod."""
BATCH = 1000
GATHER_SECONDS = 0.1
BATCH_BYTES = 8 * 1024 * 1024
"""Of the logs that are written in one transaction: by so much at most they pass the bound of a project."""
CHUNK_BYTES = 64 * 1024
REMEMBERED_RUNS = 10_000
REMEMBERED_PODS = 10_000

Message = tuple[str, JsonObject]
"""Something for viewers of a run's log, by its uid."""


def merged(items: list[Chunk | End]) -> list[Chunk | End]:
    """The same with neighbouring chunks of a pod put together, up to a size."""
    result: list[Chunk | End] = []
    last: dict[str, int] = {}
    for item in items:
        at = last.get(item.pod_uid)
        before = None if at is None else result[at]
        if (
            isinstance(item, Chunk)
            and isinstance(before, Chunk)
            and at is not None
            and before.place.position == item.position
            and len(before.data) + len(item.data) <= CHUNK_BYTES
        ):
            result[at] = replace(before, data=before.data + item.data, place=item.place)
        else:
            last[item.pod_uid] = len(result)
            result.append(item)
    return result


@dataclass(frozen=True, kw_only=True)
class Begin:
    """A log that was refused is read again: what comes after this is of that reading."""

    pod_uid: str
    done: threading.Event = field(default_factory=threading.Event)


class LogRefusedError(Exception):
    """A piece of this log could not be stored: what comes after it isn't either, for a log has no gaps."""


class LogCutError(Exception):
    """The log of this pod has its end mark, for there is no room for more."""


class LogWriter(Worker):
    """Stores and publishes what followers read."""

    def __init__(
        self,
        *,
        engine: Engine,
        redis: Redis,
        quarantine: Quarantine,
        bound: ArchiveBound,
        again: Callable[[str], None],
        ended: Callable[[LogMark], None],
        stop: threading.Event,
        room: int = 1000,
    ) -> None:
        """``again`` has the log of a pod read on, by its uid; ``ended`` hears of each end mark that was stored."""
        super().__init__(name="log writer", stop=stop)
        self._engine = engine
        self._redis = redis
        self._quarantine = quarantine
        self._bound = bound
        self._again = again
        self._ended = ended
        self._queue: queue.Queue[Chunk | End | Begin] = queue.Queue(room)
        self._refused: set[str] = set()
        self._cut: OrderedDict[str, None] = OrderedDict()
        """Pods whose logs were cut: what was handed over behind the cut isn't stored."""
        self._last: OrderedDict[str, int] = OrderedDict()

    def begin(self, pod_uid: str) -> None:
        """A pod's log is about to be read from what is stored of it: what an earlier reading has handed over is behind us then."""
        if pod_uid not in self._refused:
            return
        begin = Begin(pod_uid=pod_uid)
        self._queue.put(begin)
        while not self.stop_event.is_set() and not begin.done.wait(0.5):
            pass

    def put(self, item: Chunk | End) -> bool:
        """Hand something over; waits while the queue is full. False when the mirror stops."""
        if item.pod_uid in self._refused:
            raise LogRefusedError(item.pod_uid)
        if item.pod_uid in self._cut:
            raise LogCutError(item.pod_uid)
        while not self.stop_event.is_set():
            beat_here()
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False

    def work(self) -> None:
        while not self.stop_event.is_set():
            self.beat()
            try:
                batch = [self._queue.get(timeout=0.5)]
            except queue.Empty:
                continue
            # Lines come one by one: a moment's patience makes one chunk of many.
            self.stop_event.wait(GATHER_SECONDS)
            size = 0
            while len(batch) < BATCH and size < BATCH_BYTES:
                try:
                    batch.append(item := self._queue.get_nowait())
                except queue.Empty:
                    break
                size += len(item.data) if isinstance(item, Chunk) else 0
            self._take(batch)

    def _take(self, batch: list[Chunk | End | Begin]) -> None:
        items: list[Chunk | End] = []
        for item in batch:
            if isinstance(item, Begin):
                self._write(merged(items))
                items = []
                self._refused.discard(item.pod_uid)
                item.done.set()
            else:
                items.append(item)
        self._write(merged(items))

    def _write(self, batch: list[Chunk | End]) -> None:
        delay = 0.1
        while batch and not self.stop_event.is_set():
            self.beat()
            batch = [item for item in batch if item.pod_uid not in self._refused and item.pod_uid not in self._cut]
            try:
                messages, cut = self._store(batch)
            except Exception as error:
                self._last.clear()
                if is_of_the_data(error):
                    self._set_aside(batch, error)
                    return
                log.warning("waiting to write logs", reason=str(error).partition("\n")[0])
                self.stop_event.wait(delay)
                delay = min(delay * 2, 2)
                continue
            for pod_uid in cut:
                self._cut[pod_uid] = None
            while len(self._cut) > REMEMBERED_PODS:
                self._cut.popitem(last=False)
            for item in batch:
                if isinstance(item, End) or item.pod_uid in cut:
                    self._quarantine.release(KIND, item.pod_uid)
            try:
                publish_logs(self._redis, messages)
            except (RedisError, OSError):
                log.debug("live logs: Redis is away")  # viewers look at what is stored
            except Exception:
                log.exception("live logs")
            return

    def _set_aside(self, batch: list[Chunk | End], error: Exception) -> None:
        """Each by itself; the reader of a log that is at fault finds out by what it hands over next, and reads it again later."""
        if len(batch) > 1:
            for item in batch:
                self._write([item])
            return
        (item,) = batch
        self._refused.add(item.pod_uid)
        retry = partial(self._again, item.pod_uid)
        self._quarantine.set_aside(KIND, item.pod_uid, error, name=f"{item.project}/{item.pod_name}", retry=retry)

    def _store(self, batch: list[Chunk | End]) -> tuple[list[Message], set[str]]:
        """Write it in one transaction: what there is to say of it to viewers, and the pods whose logs were cut."""
        messages: list[Message] = []
        cut: set[str] = set()
        marks: list[LogMark] = []
        with self._engine.begin() as connection:
            projects = {item.project for item in batch if isinstance(item, Chunk)}
            used = project_bytes.used(connection, projects) if projects and self._bound.most else {}
            grown: Counter[str] = Counter()
            for item in batch:
                self.beat()
                if item.pod_uid in cut:
                    continue
                if isinstance(item, End):
                    messages.append(_end(connection, item, marks))
                    continue
                data = logs.packed(item)
                size = project_bytes.document(len(data))
                if self._bound.fits(size, used=used.get(item.project, 0) + grown[item.project]):
                    message = self._chunk(connection, item, data)
                    if message is not None:
                        messages.append(message)
                        grown[item.project] += size
                    continue
                cut.add(item.pod_uid)
                mark = self._bound.cut_mark
                last = replace(item, data=mark, place=replace(item.place, position=item.position + len(mark)))
                data = logs.packed(last)
                message = self._chunk(connection, last, data)
                if message is not None:
                    messages.append(message)
                    grown[item.project] += project_bytes.document(len(data))
                messages.append(_end(connection, _cut_end(item, self._bound.why_cut), marks))
            project_bytes.add(connection, grown)
        for each in marks:
            self._ended(each)
        while len(self._last) > REMEMBERED_RUNS:
            self._last.popitem(last=False)
        return messages, cut

    def _chunk(self, connection: Connection, item: Chunk, data: bytes) -> Message | None:
        """Store a piece; None where it was stored before."""
        before = self._last.get(item.run_uid)
        if before is None:
            # Of a run that isn't written yet there may be no month.
            partitions.ensure(connection, [item.run_created])
            before = logs.last_id(connection, run_uid=item.run_uid, run_created=item.run_created)
        number = logs.add_chunk(connection, item, data=data)
        if number is None:
            return None
        self._last[item.run_uid] = number
        self._last.move_to_end(item.run_uid)
        text = item.data.decode("utf-8", errors="replace")
        shown = {"attempt": item.attempt, "pod": item.pod_name, "offset": item.position, "text": text}
        return item.run_uid, {"id": number, "prev": before, **shown}


def _cut_end(item: Chunk, reason: str) -> End:
    return End(
        run_uid=item.run_uid,
        project=item.project,
        attempt=item.attempt,
        pod_uid=item.pod_uid,
        pod_name=item.pod_name,
        mark="truncated",
        reason=reason,
    )


def _end(connection: Connection, item: End, marks: list[LogMark]) -> Message:
    if logs.add_end(connection, item):
        marks.append(item.mark)
    return item.run_uid, {"attempt": item.attempt, "pod": item.pod_name, "end": item.mark, "reason": item.reason}
