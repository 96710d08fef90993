"""Results that are too large for a status, and checkpoints: documents as the pods sent them, compressed."""

import hashlib
import zlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import Checkpoint, Result

LEVEL = 1
"""Of the compression: a pod waits for it."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a status says of a result that is stored here."""

    bytes: int
    sha256: str


def save(connection: Connection, *, run_uid: str, attempt: int, data: bytes, at: datetime) -> Reference:
    """Keep the result of an attempt; one that is sent again takes the place of the first."""
    reference = Reference(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    statement = pg_insert(Result).values(
        run_uid=run_uid,
        attempt=attempt,
        size=reference.bytes,
        sha256=reference.sha256,
        data=zlib.compress(data, LEVEL),
        at=at,
    )
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Result.run_uid, Result.attempt],
            set_={"size": new.size, "sha256": new.sha256, "data": new.data, "at": new.at},
        )
    )
    return reference


def find(connection: Connection, *, run_uid: str, reference: Reference) -> bytes | None:
    """The very document that a status refers to; None when there is none that fits."""
    data = connection.execute(
        select(Result.data)
        .where(Result.run_uid == run_uid, Result.sha256 == reference.sha256, Result.size == reference.bytes)
        .limit(1)
    ).scalar_one_or_none()
    return None if data is None else zlib.decompress(data)


def save_checkpoint(connection: Connection, *, run_uid: str, attempt: int, data: bytes, at: datetime) -> bool:
    """Keep the last checkpoint of a run; False when a later attempt has written one already."""
    statement = pg_insert(Checkpoint).values(
        run_uid=run_uid, attempt=attempt, size=len(data), data=zlib.compress(data, LEVEL), at=at
    )
    new = statement.excluded
    written = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Checkpoint.run_uid],
            set_={"attempt": new.attempt, "size": new.size, "data": new.data, "at": new.at},
            where=Checkpoint.attempt <= new.attempt,
        ).returning(Checkpoint.run_uid)
    )
    return written.first() is not None


def checkpoint(connection: Connection, *, run_uid: str) -> bytes | None:
    """The last checkpoint of a run, whichever attempt wrote it."""
    data = connection.execute(select(Checkpoint.data).where(Checkpoint.run_uid == run_uid)).scalar_one_or_none()
    return None if data is None else zlib.decompress(data)
