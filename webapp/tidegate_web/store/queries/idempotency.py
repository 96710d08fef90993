"""Idempotency keys: reserved before a run is created, finished with its uid, forgotten after their time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import IdempotencyKey
from tidegate_web.store.rows import row_of

KEPT = timedelta(days=30)
PLACE = (IdempotencyKey.project, IdempotencyKey.task, IdempotencyKey.key)


@dataclass(frozen=True, slots=True)
class ReservationRow:
    """What is kept of a key; ``run_uid`` once its run is made."""

    digest: bytes
    run_uid: str | None
    created: datetime


def reserve(
    connection: Connection, *, project: str, task: str, key: str, digest: bytes, now: datetime, before: datetime
) -> ReservationRow | None:
    """Take a key that is free or was taken before a time; what is kept of one that isn't, None when it is ours now."""
    statement = pg_insert(IdempotencyKey).values(project=project, task=task, key=key, digest=digest, created=now)
    taken = statement.on_conflict_do_update(
        index_elements=PLACE,
        set_={"digest": digest, "created": now, "run_uid": None},
        where=IdempotencyKey.created <= before,
    ).returning(IdempotencyKey.created)
    kept = select(IdempotencyKey.digest, IdempotencyKey.run_uid, IdempotencyKey.created).where(
        IdempotencyKey.project == project, IdempotencyKey.task == task, IdempotencyKey.key == key
    )
    while True:
        if connection.execute(taken).first() is not None:
            return None
        # Released in between? Then it can be taken.
        if (row := connection.execute(kept).one_or_none()) is not None:
            return row_of(ReservationRow, row)


def finish(
    connection: Connection, *, project: str, task: str, key: str, digest: bytes, run_uid: str, created: datetime
) -> None:
    """Note the run of a key, also when another request has released it meanwhile."""
    statement = pg_insert(IdempotencyKey).values(
        project=project, task=task, key=key, digest=digest, run_uid=run_uid, created=created
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=PLACE, set_={"run_uid": run_uid}, where=IdempotencyKey.run_uid.is_(None)
        )
    )


def release(connection: Connection, *, project: str, task: str, key: str, digest: bytes) -> None:
    """Give a key back whose run was refused."""
    connection.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.project == project,
            IdempotencyKey.task == task,
            IdempotencyKey.key == key,
            IdempotencyKey.digest == digest,
            IdempotencyKey.run_uid.is_(None),
        )
    )


def forget(connection: Connection, *, before: datetime, limit: int) -> None:
    """Drop some of the keys that were taken before a time."""
    old = select(*PLACE).where(IdempotencyKey.created <= before).limit(limit).subquery()
    connection.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.project == old.c.project, IdempotencyKey.task == old.c.task, IdempotencyKey.key == old.c.key
        )
    )
