"""Which runs a run's idempotency keys have met: kept as long as the keys."""

from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import MetRun


def keep(connection: Connection, *, run_uid: str, met_uid: str, now: datetime) -> None:
    """A key of the one has met the other."""
    statement = pg_insert(MetRun).values(run_uid=run_uid, met_uid=met_uid, created=now)
    connection.execute(
        statement.on_conflict_do_update(index_elements=(MetRun.run_uid, MetRun.met_uid), set_={"created": now})
    )


def has_met(connection: Connection, *, run_uid: str, met_uid: str) -> bool:
    """Whether a key of the one has met the other."""
    found = select(MetRun.met_uid).where(MetRun.run_uid == run_uid, MetRun.met_uid == met_uid)
    return connection.execute(found).first() is not None


def forget(connection: Connection, *, before: datetime, limit: int) -> None:
    """Drop some of those that were met before a time."""
    old = select(MetRun.run_uid, MetRun.met_uid).where(MetRun.created <= before).limit(limit).subquery()
    connection.execute(delete(MetRun).where(MetRun.run_uid == old.c.run_uid, MetRun.met_uid == old.c.met_uid))
