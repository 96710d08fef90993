"""What is stored of a run's logs."""

from dataclasses import dataclass

from tidegate_web.services import Services
from tidegate_web.store.queries import logs
from tidegate_web.store.queries.logs import LogEndRow, StoredChunk
from tidegate_web.store.run_rows import RunRow


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """Some chunks, in the order in which they were stored, and the end marks of the run's pods."""

    chunks: list[StoredChunk]
    ends: list[LogEndRow]


def page(made: Services, row: RunRow, *, after: int, attempt: int | None = None, pod: str | None = None) -> LogPage:
    """What comes after a chunk."""
    with made.engine.connect() as connection:
        return LogPage(
            chunks=logs.chunks(
                connection, run_uid=row.uid, run_created=row.created, after=after, attempt=attempt, pod=pod
            ),
            ends=logs.ends(connection, run_uid=row.uid),
        )


def chunks(made: Services, row: RunRow, *, after: int = 0, attempt: int | None = None) -> list[StoredChunk]:
    """The same without the end marks."""
    with made.engine.connect() as connection:
        return logs.chunks(connection, run_uid=row.uid, run_created=row.created, after=after, attempt=attempt)


def next_chunks(made: Services, row: RunRow, *, after: int) -> LogPage:
    """What comes after a chunk; the end marks once there is no more."""
    with made.engine.connect() as connection:
        found = logs.chunks(connection, run_uid=row.uid, run_created=row.created, after=after)
        return LogPage(chunks=found, ends=logs.ends(connection, run_uid=row.uid) if not found else [])


def has_chunk(made: Services, row: RunRow, number: int) -> bool:
    """Whether a run has the chunk of this id."""
    with made.engine.connect() as connection:
        return logs.has_chunk(connection, run_uid=row.uid, run_created=row.created, chunk_id=number)
