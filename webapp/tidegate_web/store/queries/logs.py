"""Log chunks and their end marks."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import AnyRow, LogChunk, LogEnd


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Some whole lines of a pod's log, and where they stand in it."""

    run_uid: str
    run_created: datetime
    project: str
    attempt: int
    pod_uid: str
    pod_name: str
    position: int
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Nothing more of this pod's log will come."""

    run_uid: str
    project: str
    attempt: int
    pod_uid: str
    pod_name: str
    mark: str
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredChunk:
    """A chunk as viewers get it."""

    id: int
    attempt: int
    pod: str
    position: int
    text: str

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "attempt": self.attempt,
            "pod": self.pod,
            "offset": self.position,
            "text": self.text,
        }


def add_chunk(connection: Connection, chunk: Chunk) -> int | None:
    """Store a chunk; its id, or None when that place of the log was stored before."""
    return connection.execute(
        pg_insert(LogChunk)
        .values(
            run_uid=chunk.run_uid,
            run_created=chunk.run_created,
            attempt=chunk.attempt,
            pod_uid=chunk.pod_uid,
            pod_name=chunk.pod_name,
            position=chunk.position,
            size=len(chunk.data),
            data=zlib.compress(chunk.data),
        )
        .on_conflict_do_nothing()
        .returning(LogChunk.id)
    ).scalar_one_or_none()


def add_end(connection: Connection, end: End) -> bool:
    """Store an end mark; False when there is one already, which then stays."""
    result = connection.execute(
        pg_insert(LogEnd)
        .values(
            run_uid=end.run_uid,
            attempt=end.attempt,
            pod_uid=end.pod_uid,
            pod_name=end.pod_name,
            mark=end.mark,
            reason=end.reason,
        )
        .on_conflict_do_nothing()
        .returning(LogEnd.run_uid)
    )
    return result.first() is not None


def position(connection: Connection, *, run_uid: str, run_created: datetime, pod_uid: str) -> tuple[int, int, bool]:
    """How far a pod's log is stored, how much of its run's, and whether it has its end mark."""
    here, total = connection.execute(
        select(
            func.coalesce(func.max(LogChunk.position + LogChunk.size).filter(LogChunk.pod_uid == pod_uid), 0),
            func.coalesce(func.sum(LogChunk.size), 0),
        ).where(LogChunk.run_uid == run_uid, LogChunk.run_created == run_created)
    ).one()
    ended = connection.execute(select(LogEnd.mark).where(LogEnd.run_uid == run_uid, LogEnd.pod_uid == pod_uid)).first()
    return int(here), int(total), ended is not None


def run_of_pod(connection: Connection, *, run_uid: str, run_created: datetime, pod_uid: str) -> int | None:
    """The attempt that a pod was recognised as, if it once was."""
    return connection.execute(
        select(LogChunk.attempt)
        .where(LogChunk.run_uid == run_uid, LogChunk.run_created == run_created, LogChunk.pod_uid == pod_uid)
        .limit(1)
    ).scalar_one_or_none()


def ends(connection: Connection, *, run_uid: str) -> Sequence[AnyRow]:
    """The end marks of a run's pods."""
    return connection.execute(
        select(LogEnd.attempt, LogEnd.pod_uid, LogEnd.pod_name, LogEnd.mark, LogEnd.reason, LogEnd.at)
        .where(LogEnd.run_uid == run_uid)
        .order_by(LogEnd.attempt, LogEnd.at)
    ).all()


def chunks(
    connection: Connection,
    *,
    run_uid: str,
    run_created: datetime,
    after: int = 0,
    attempt: int | None = None,
    pod: str | None = None,
    limit_bytes: int = 1024 * 1024,
) -> list[StoredChunk]:
    """Stored chunks after one of them, in the order they were stored, about ``limit_bytes`` of them."""
    statement = (
        select(LogChunk.id, LogChunk.attempt, LogChunk.pod_name, LogChunk.position, LogChunk.data)
        .where(LogChunk.run_uid == run_uid, LogChunk.run_created == run_created, LogChunk.id > after)
        .order_by(LogChunk.id)
    )
    if attempt is not None:
        statement = statement.where(LogChunk.attempt == attempt)
    if pod is not None:
        statement = statement.where(LogChunk.pod_name == pod)
    found: list[StoredChunk] = []
    size = 0
    for row in connection.execute(statement, execution_options={"yield_per": 50}):
        data = zlib.decompress(row.data)
        found.append(
            StoredChunk(
                id=row.id,
                attempt=row.attempt,
                pod=row.pod_name,
                position=row.position,
                text=data.decode("utf-8", errors="replace"),
            )
        )
        size += len(data)
        if size >= limit_bytes:
            break
    return found


def last_id(connection: Connection, *, run_uid: str, run_created: datetime) -> int:
    """The id of a run's newest chunk, 0 without any."""
    return connection.execute(
        select(func.coalesce(func.max(LogChunk.id), 0)).where(
            LogChunk.run_uid == run_uid, LogChunk.run_created == run_created
        )
    ).scalar_one()
