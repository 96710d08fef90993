"""Results that are too large for a status, and checkpoints: documents as the pods sent them, compressed.

Each counts for its project; ProjectFullError where there is no room for one.
"""

import hashlib
import zlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import InstrumentedAttribute

from tidegate_web.shared.archive_bound import NO_BOUND, ArchiveBound
from tidegate_web.store.models import Checkpoint, Result
from tidegate_web.store.queries import project_bytes

LEVEL = 1
"""Of the compression: a pod waits for it."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a status says of a result that is stored here."""

    bytes: int
    sha256: str


def save(
    connection: Connection,
    *,
    project: str,
    run_uid: str,
    attempt: int,
    data: bytes,
    at: datetime,
    bound: ArchiveBound = NO_BOUND,
) -> Reference:
    """Keep the result of an attempt; one that is sent again takes the place of the first."""
    reference = Reference(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    packed = zlib.compress(data, LEVEL)
    growth = _growth(connection, Result.data, Result.run_uid == run_uid, Result.attempt == attempt, packed=packed)
    project_bytes.check(connection, project=project, growth=growth, bound=bound)
    statement = pg_insert(Result).values(
        run_uid=run_uid,
        attempt=attempt,
        size=reference.bytes,
        sha256=reference.sha256,
        data=packed,
        at=at,
    )
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Result.run_uid, Result.attempt],
            set_={"size": new.size, "sha256": new.sha256, "data": new.data, "at": new.at},
        )
    )
    project_bytes.add(connection, {project: growth})
    return reference


def _growth(
    connection: Connection, column: InstrumentedAttribute[bytes], *mine: ColumnElement[bool], packed: bytes
) -> int:
    """What this takes more than what it replaces, which no other request replaces meanwhile."""
    replaced = select(func.octet_length(column)).where(*mine).with_for_update()
    before = connection.execute(replaced).scalar_one_or_none()
    return project_bytes.document(len(packed)) - project_bytes.document(before)


def find(connection: Connection, *, run_uid: str, reference: Reference) -> bytes | None:
    """The very document that a status refers to; None when there is none that fits."""
    data = connection.execute(
        select(Result.data)
        .where(Result.run_uid == run_uid, Result.sha256 == reference.sha256, Result.size == reference.bytes)
        .limit(1)
    ).scalar_one_or_none()
    return None if data is None else zlib.decompress(data)


def save_checkpoint(
    connection: Connection,
    *,
    project: str,
    run_uid: str,
    attempt: int,
    data: bytes,
    at: datetime,
    bound: ArchiveBound = NO_BOUND,
) -> bool:
    """Keep the last checkpoint of a run; False when a later attempt has written one already."""
    packed = zlib.compress(data, LEVEL)
    growth = _growth(connection, Checkpoint.data, Checkpoint.run_uid == run_uid, packed=packed)
    project_bytes.check(connection, project=project, growth=growth, bound=bound)
    statement = pg_insert(Checkpoint).values(run_uid=run_uid, attempt=attempt, size=len(data), data=packed, at=at)
    new = statement.excluded
    written = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Checkpoint.run_uid],
            set_={"attempt": new.attempt, "size": new.size, "data": new.data, "at": new.at},
            where=Checkpoint.attempt <= new.attempt,
        ).returning(Checkpoint.run_uid)
    )
    if written.first() is None:
        return False
    project_bytes.add(connection, {project: growth})
    return True


def checkpoint(connection: Connection, *, run_uid: str) -> bytes | None:
    """The last checkpoint of a run, whichever attempt wrote it."""
    data = connection.execute(select(Checkpoint.data).where(Checkpoint.run_uid == run_uid)).scalar_one_or_none()
    return None if data is None else zlib.decompress(data)
