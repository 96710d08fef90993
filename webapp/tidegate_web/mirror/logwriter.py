"""Log chunks into Postgres, many followers' at a time, then to viewers. One writer, so that the chunks of a run are
stored in the order of their ids and a viewer can tell whether it has missed one.
"""

import queue
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.live.channels import publish_logs
from tidegate_web.store import partitions
from tidegate_web.store.queries import logs
from tidegate_web.store.queries.logs import Chunk, End

log = structlog.stdlib.get_logger(__name__)

BATCH = 1000
GATHER_SECONDS = 0.1
CHUNK_BYTES = 64 * 1024
REMEMBERED_RUNS = 10_000


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


class LogWriter(threading.Thread):
    """Stores and publishes what followers read."""

    def __init__(self, *, engine: Engine, redis: Redis, stop: threading.Event, room: int = 1000) -> None:
        super().__init__(name="log writer", daemon=True)
        self._engine = engine
        self._redis = redis
        self._stop_event = stop
        self._queue: queue.Queue[Chunk | End] = queue.Queue(room)
        self._last: OrderedDict[str, int] = OrderedDict()

    def put(self, item: Chunk | End) -> bool:
        """Hand something over; waits while the queue is full. False when the mirror stops."""
        while not self._stop_event.is_set():
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False

    def run(self) -> None:
        while not self._stop_event.is_set():
            try:
                batch = [self._queue.get(timeout=0.5)]
            except queue.Empty:
                continue
            # Lines come one by one: a moment's patience makes one chunk of many.
            self._stop_event.wait(GATHER_SECONDS)
            while len(batch) < BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            self._write(merged(batch))

    def _write(self, batch: list[Chunk | End]) -> None:
        delay = 0.1
        while not self._stop_event.is_set():
            try:
                messages = self._store(batch)
            except SQLAlchemyError as error:
                self._last.clear()
                log.warning("waiting to write logs", reason=str(error).partition("\n")[0])
                self._stop_event.wait(delay)
                delay = min(delay * 2, 2)
                continue
            try:
                publish_logs(self._redis, messages)
            except (RedisError, OSError):
                log.debug("live logs: Redis is away")  # viewers look at what is stored
            return

    def _store(self, batch: list[Chunk | End]) -> list[tuple[str, dict[str, Any]]]:
        messages: list[tuple[str, dict[str, Any]]] = []
        with self._engine.begin() as connection:
            for item in batch:
                if isinstance(item, End):
                    logs.add_end(connection, item)
                    messages.append(
                        (
                            item.run_uid,
                            {"attempt": item.attempt, "pod": item.pod_name, "end": item.mark, "reason": item.reason},
                        )
                    )
                    continue
                before = self._last.get(item.run_uid)
                if before is None:
                    # Of a run that isn't written yet there may be no month.
                    partitions.ensure(connection, [item.run_created])
                    before = logs.last_id(connection, run_uid=item.run_uid, run_created=item.run_created)
                number = logs.add_chunk(connection, item)
                if number is None:
                    continue
                self._last[item.run_uid] = number
                self._last.move_to_end(item.run_uid)
                messages.append(
                    (
                        item.run_uid,
                        {
                            "id": number,
                            "prev": before,
                            "attempt": item.attempt,
                            "pod": item.pod_name,
                            "offset": item.position,
                            "text": item.data.decode("utf-8", errors="replace"),
                        },
                    )
                )
        while len(self._last) > REMEMBERED_RUNS:
            self._last.popitem(last=False)
        return messages
