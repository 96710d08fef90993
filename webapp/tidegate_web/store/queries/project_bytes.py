"""How many bytes the archive keeps for each project: counted in the transaction that writes or deletes them.

A project has several counters, by the connection that writes: two writers wait for each other only where their connections
fall on the same one. A transaction counts at its end, all projects at once and in their order, so that
such waits are short and never crossed. What is counted wrong all the same is put right by ``recount.py``.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, select, text, update

from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.store.models import ProjectBytes

ROW_BYTES: Final = 400
"""What a row takes beside its document, with its places in indexes: many small ones fill a disk too."""
RUN_ROW_BYTES: Final = 2000
"""The same of an archived run, which stands in many indexes."""
SHARDS: Final = 16
RECOUNTED: Final = -1
"""The counter of recounts."""
_LOCK: Final = 714_088_104

_ADD: Final = text(
    "INSERT INTO project_bytes (project, shard, bytes) VALUES (:project, pg_backend_pid() % :shards, :bytes)"
    " ON CONFLICT (project, shard) DO UPDATE SET bytes = project_bytes.bytes + excluded.bytes"
)
_CORRECT: Final = text(
    "INSERT INTO project_bytes (project, shard, bytes, counted) VALUES (:project, :shard, :bytes, :counted)"
    " ON CONFLICT (project, shard) DO UPDATE"
    " SET bytes = project_bytes.bytes + excluded.bytes, counted = excluded.counted"
)


class ProjectFullError(Exception):
    """There is no room for this; says how much is used."""

    def __init__(self, used: int) -> None:
        super().__init__(f"{used} bytes are used")
        self.used = used


def document(size: int | None) -> int:
    """What a document of this size takes with its row; 0 where there is none."""
    return 0 if size is None else size + ROW_BYTES


def add(connection: Connection, grown: Mapping[str, int]) -> None:
    """Count what this transaction has written, or deleted, by project. The last that a transaction does."""
    rows = [
        {"project": project, "bytes": size, "shards": SHARDS} for project, size in sorted(grown.items()) if size != 0
    ]
    if rows:
        connection.execute(_ADD, rows)


def move(connection: Connection, *, source: str, target: str) -> None:
    """What was kept for a project has gone to another name. All of the count goes along; a recount soon says what is of which."""
    gone = delete(ProjectBytes).where(ProjectBytes.project == source).returning(ProjectBytes.bytes)
    add(connection, {target: sum(connection.execute(gone).scalars())})
    connection.execute(update(ProjectBytes).where(ProjectBytes.counted.is_not(None)).values(counted=None))


def correct(connection: Connection, drift: Mapping[str, int], *, now: datetime) -> None:
    """Add what a recount has found to be missing, or too much."""
    rows = [
        {"project": project, "shard": RECOUNTED, "bytes": size, "counted": now}
        for project, size in sorted(drift.items())
    ]
    if rows:
        connection.execute(_CORRECT, rows)


def used(connection: Connection, projects: Collection[str]) -> dict[str, int]:
    """The bytes of these projects."""
    wanted = select(ProjectBytes.project, func.sum(ProjectBytes.bytes).label("bytes")).group_by(ProjectBytes.project)
    rows = connection.execute(wanted.where(ProjectBytes.project.in_(sorted(projects))))
    return dict.fromkeys(projects, 0) | {row.project: max(0, int(row.bytes)) for row in rows}


def of_all(connection: Connection) -> dict[str, int]:
    """The counters' sums of all projects, as they are: a wrong one may be below 0."""
    rows = connection.execute(
        select(ProjectBytes.project, func.sum(ProjectBytes.bytes).label("bytes")).group_by(ProjectBytes.project)
    )
    return {row.project: int(row.bytes) for row in rows}


def recounted(connection: Connection) -> datetime | None:
    """When it was last recounted."""
    return connection.execute(select(func.max(ProjectBytes.counted))).scalar_one()


def check(connection: Connection, *, project: str, growth: int, bound: ArchiveBound) -> None:
    """ProjectFullError where the project has no room for that. Near its bound the project's writers take turns here."""
    if not bound.most or growth <= 0:
        return
    before = used(connection, [project])[project]
    if bound.fits(growth, used=before) and bound.is_near(growth, used=before):
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(project))))
        before = used(connection, [project])[project]
    if not bound.fits(growth, used=before):
        raise ProjectFullError(before)
