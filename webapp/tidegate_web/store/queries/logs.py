"""Log chunks and their end marks."""

import zlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from typing_extensions import TypedDict

from tidegate_web.shared.documented import documented
from tidegate_web.store.models import LogChunk, LogEnd, Run
from tidegate_web.store.models.runs import LogMark
from tidegate_web.store.records import clean
from tidegate_web.store.rows import all_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Up to where a log is stored."""

    position: int = 0
    """Bytes stored, of what the container has written and of our own marks."""
    file_at: int | None = None
    """The time of the first line of the file that was read last; None where times weren't kept."""
    file_base: int = 0
    """Where in what is stored that file begins."""
    line_at: int | None = None
    """The time of the last line that is stored, at least its beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Some whole lines of a pod's log, and the place after them."""

    run_uid: str
    run_created: datetime
    project: str
    attempt: int
    pod_uid: str
    pod_name: str
    data: bytes
    place: Place

    @property
    def position(self) -> int:
        """Where they begin."""
        return self.place.position - len(self.data)


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Nothing more of this pod's log will come."""

    run_uid: str
    project: str
    attempt: int
    pod_uid: str
    pod_name: str
    mark: LogMark
    reason: str | None = None


@documented
class LogPiece(TypedDict):
    """Some lines of a pod's log."""

    id: int
    attempt: int
    pod: str
    offset: int
    """Where it begins in the log, in bytes."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredChunk:
    """A chunk as viewers get it."""

    id: int
    attempt: int
    pod: str
    position: int
    text: str

    def as_json(self) -> LogPiece:
        return {
            "id": self.id,
            "attempt": self.attempt,
            "pod": self.pod,
            "offset": self.position,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class LogEndRow:
    """The end mark of a pod's log."""

    attempt: int
    pod_uid: str
    pod_name: str
    mark: LogMark
    reason: str | None
    at: datetime


def packed(chunk: Chunk) -> bytes:
    """The text of a chunk as it is stored."""
    return zlib.compress(chunk.data)


def add_chunk(connection: Connection, chunk: Chunk, *, data: bytes | None = None) -> int | None:
    """Store a chunk, ``packed`` already or not; its id, or None when that place of the log was stored before."""
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
            data=packed(chunk) if data is None else data,
            file_at=chunk.place.file_at,
            file_base=chunk.place.file_base,
            line_at=chunk.place.line_at,
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
            reason=clean(end.reason),
        )
        .on_conflict_do_nothing()
        .returning(LogEnd.run_uid)
    )
    return result.first() is not None


def place(connection: Connection, *, run_uid: str, run_created: datetime, pod_uid: str) -> tuple[Place, int, bool]:
    """Up to where a pod's log is stored, how much of its run's is, and whether it has its end mark."""
    of_run = (LogChunk.run_uid == run_uid, LogChunk.run_created == run_created)
    last = connection.execute(
        select(LogChunk.position + LogChunk.size, LogChunk.file_at, LogChunk.file_base, LogChunk.line_at)
        .where(*of_run, LogChunk.pod_uid == pod_uid)
        .order_by(LogChunk.position.desc())
        .limit(1)
    ).one_or_none()
    total = connection.execute(select(func.coalesce(func.sum(LogChunk.size), 0)).where(*of_run)).scalar_one()
    ended = connection.execute(select(LogEnd.mark).where(LogEnd.run_uid == run_uid, LogEnd.pod_uid == pod_uid)).first()
    if last is None:
        return Place(), int(total), ended is not None
    position, file_at, file_base, line_at = last
    found = Place(position=position, file_at=file_at, file_base=file_base or 0, line_at=line_at)
    return found, int(total), ended is not None


def status_of(connection: Connection, *, run_uid: str, run_created: datetime, project: str) -> dict[str, object] | None:
    """The status of a run of the project as it is stored."""
    found: dict[str, object] | None = connection.execute(
        select(Run.status).where(Run.uid == run_uid, Run.created == run_created, Run.project == project)
    ).scalar_one_or_none()
    return found


def run_of_pod(connection: Connection, *, run_uid: str, run_created: datetime, pod_uid: str) -> int | None:
    """The attempt that a pod was recognised as, if it once was."""
    return connection.execute(
        select(LogChunk.attempt)
        .where(LogChunk.run_uid == run_uid, LogChunk.run_created == run_created, LogChunk.pod_uid == pod_uid)
        .limit(1)
    ).scalar_one_or_none()


def ends(connection: Connection, *, run_uid: str) -> list[LogEndRow]:
    """The end marks of a run's pods."""
    marks = (
        select(LogEnd.attempt, LogEnd.pod_uid, LogEnd.pod_name, LogEnd.mark, LogEnd.reason, LogEnd.at)
        .where(LogEnd.run_uid == run_uid)
        .order_by(LogEnd.attempt, LogEnd.at)
    )
    return all_rows(LogEndRow, connection.execute(marks))


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


def has_chunk(connection: Connection, *, run_uid: str, run_created: datetime, chunk_id: int) -> bool:
    """Whether a run has the chunk of this id."""
    of_run = (LogChunk.run_uid == run_uid, LogChunk.run_created == run_created)
    return connection.execute(select(LogChunk.id).where(*of_run, LogChunk.id == chunk_id)).first() is not None


def last_id(connection: Connection, *, run_uid: str, run_created: datetime) -> int:
    """The id of a run's newest chunk, 0 without any."""
    return connection.execute(
        select(func.coalesce(func.max(LogChunk.id), 0)).where(
            LogChunk.run_uid == run_uid, LogChunk.run_created == run_created
        )
    ).scalar_one()
