"""What is deleted for good: noted, removed from every table, and kept from coming back."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ErasedRun, LogChunk, Run
from tidegate_web.store.queries import pruning


def note(connection: Connection, *, uid: str, now: datetime) -> None:
    """From now on nothing more is written of this run."""
    connection.execute(pg_insert(ErasedRun).values(uid=uid, at=now).on_conflict_do_nothing())


def forget_note(connection: Connection, *, uid: str) -> None:
    """It couldn't be deleted from the cluster, and so it stays."""
    connection.execute(delete(ErasedRun).where(ErasedRun.uid == uid))


def noted(connection: Connection, uids: Sequence[str]) -> set[str]:
    """Those of the runs that are deleted for good."""
    return set(connection.execute(select(ErasedRun.uid).where(ErasedRun.uid.in_(uids))).scalars())


def erase(connection: Connection, *, uids: Sequence[str]) -> None:
    """Remove all that is kept of these runs, in whatever month: what was still being written may have lost its key."""
    pruning.delete_runs(connection, list(uids), chunks=[LogChunk.run_uid.in_(uids)], rows=[Run.uid.in_(uids)])


def erase_again(connection: Connection, *, since: datetime, forget_before: datetime) -> None:
    """Remove what was still being written when it was noted lately; notes that nothing can follow any more go too."""
    uids = list(connection.execute(select(ErasedRun.uid).where(ErasedRun.at >= since)).scalars())
    for start in range(0, len(uids), 1000):
        erase(connection, uids=uids[start : start + 1000])
    connection.execute(delete(ErasedRun).where(ErasedRun.at <= forget_before))
