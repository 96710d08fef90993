"""Runs: written as the cluster changes, read one by one. Lists of them are in ``run_list``."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Insert, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.dml import ReturningInsert

from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.store.models import AttemptProgress, Outbox, Run, RunKey
from tidegate_web.store.queries import erasure, run_keys, webhooks
from tidegate_web.store.records import RunRecord, event_of
from tidegate_web.store.rows import all_rows, row_or_none
from tidegate_web.store.run_rows import SUMMARY, WHOLE, RunRow, RunSummaryRow

CANDIDATES = 20
"""Runs of one name among which the newest is found."""


@dataclass(frozen=True, slots=True)
class UnlistedRow:
    """A run that should be in the cluster and wasn't listed."""

    uid: str
    project: str
    name: str
    resource_version: int


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """The last progress of an attempt."""

    attempt: int
    progress: float | None
    message: str | None
    at: datetime


def upsert(
    connection: Connection, records: Sequence[RunRecord], *, relist: bool = False, bare: bool = False
) -> list[str]:
    """Write what the cluster says, and an event for each row that changed; returns the uids of those.

    An older version never replaces a newer one. After a re-list what was listed stands, whatever its version: an
    etcd restored from a backup counts from an older number on. ``bare``: records that are one version older than they are.
    """
    newest: dict[str, RunRecord] = {}
    for record in records:
        kept = newest.get(record.uid)
        if kept is None or kept.resource_version <= record.resource_version:
            newest[record.uid] = record
    for uid in erasure.noted(connection, list(newest)) if newest else ():
        del newest[uid]
    if not newest:
        return []
    ordered = sorted(newest.values(), key=lambda record: record.uid)  # one order of row locks for all writers
    places = run_keys.keep(connection, ordered)
    rows = [record.columns() | {"created": places[record.uid]} for record in ordered]
    uids = list(connection.execute(_upsert(relist=relist, bare=bare), rows).scalars())
    _report(connection, [newest[uid] for uid in uids])
    return uids


@cache
def _upsert(*, relist: bool, bare: bool) -> ReturningInsert[str]:
    """Made once, and its rows given to it as parameters: SQLAlchemy takes ten times as long to write it as to run it."""
    statement = pg_insert(Run)
    new = statement.excluded
    changed = (
        or_(Run.resource_version != new.resource_version, Run.deleted_at.is_not(None))
        if relist
        else Run.resource_version <= new.resource_version
        if bare
        else Run.resource_version < new.resource_version
    )
    # A run never changes its project: one whose namespace was made again is kept under another name by now.
    written = {name: new[name] for name in RunRecord.__slots__ if name not in ("uid", "created", "project")}
    return statement.on_conflict_do_update(
        index_elements=[Run.uid, Run.created],
        set_=written | {"deleted_at": None},
        where=changed,
    ).returning(Run.uid)


def mark_deleted(connection: Connection, *, uids: Iterable[str], now: datetime) -> list[str]:
    """The TaskRuns are gone from the cluster; those that hadn't ended are ``Cancelled/Deleted``. Returns the uids of those that were
    there until now, which ``archiving`` counts."""
    places = run_keys.created(connection, uids)
    if not places:
        return []
    wanted = run_keys.rows_of(places, uid=Run.uid, created=Run.created)
    ended = (
        connection.execute(
            update(Run)
            .where(*wanted, Run.deleted_at.is_(None), Run.phase.in_(TERMINAL_PHASES))
            .values(deleted_at=now)
            .returning(Run.uid)
        )
        .scalars()
        .all()
    )
    cut_off = (
        update(Run)
        .where(*wanted, Run.deleted_at.is_(None))
        .values(
            deleted_at=now,
            phase="Cancelled",
            reason="Deleted",
            message="The TaskRun was deleted before it had ended.",
            finished_at=now,
        )
        .returning(*SUMMARY)
    )
    cut = all_rows(RunSummaryRow, connection.execute(cut_off))
    _report(connection, cut)
    return [*ended, *(row.uid for row in cut)]


def _report(connection: Connection, rows: Sequence[RunRecord | RunSummaryRow]) -> None:
    if not rows:
        return
    webhooks.add_deliveries(connection, rows)
    connection.execute(_outbox(), [{"project": row.project, "event": event_of(row)} for row in rows])


@cache
def _outbox() -> Insert:
    return insert(Outbox)


def not_listed(
    connection: Connection, *, listed: set[str], project: str | None, chunk: int = 5000
) -> list[UnlistedRow]:
    """Rows that should be in the cluster (all of it, or one namespace) and aren't among the uids of a re-list."""
    statement = select(Run.uid, Run.project, Run.name, Run.resource_version).where(Run.deleted_at.is_(None))
    if project is not None:
        statement = statement.where(Run.project == project)
    rows = connection.execute(statement, execution_options={"yield_per": chunk})
    return [UnlistedRow(*row) for row in rows if row[0] not in listed]


def projects_in_cluster(connection: Connection) -> set[str]:
    """Projects of rows that should be in the cluster."""
    return set(connection.execute(select(Run.project).where(Run.deleted_at.is_(None)).distinct()).scalars())


def is_uid(reference: str) -> bool:
    try:
        return str(uuid.UUID(reference)) == reference.lower()
    except ValueError:
        return False


def find(connection: Connection, *, project: str, reference: str) -> RunRow | None:
    """One run, whole, by uid or name; a name means its newest run."""
    wanted = RunKey.uid == reference.lower() if is_uid(reference) else RunKey.name == reference
    newest = connection.execute(
        select(RunKey.uid, RunKey.created)
        .where(RunKey.project == project, wanted)
        .order_by(RunKey.created.desc())
        .limit(CANDIDATES)
    ).all()
    if not newest:
        return None
    places = {row.uid: row.created for row in newest}
    found = (
        select(*WHOLE)
        .where(*run_keys.rows_of(places, uid=Run.uid, created=Run.created))
        # Creation times have whole seconds; of one name there is only one in the cluster, and that is the newest.
        .order_by(Run.deleted_at.is_not(None), Run.created.desc(), Run.resource_version.desc())
        .limit(1)
    )
    return row_or_none(RunRow, connection.execute(found).one_or_none())


def save_progress(
    connection: Connection, *, uid: str, attempt: int, progress: float | None, message: str | None, at: datetime
) -> None:
    """Keep the last progress of an attempt; a later word without a number or a message keeps the former one."""
    statement = pg_insert(AttemptProgress).values(
        run_uid=uid, attempt=attempt, progress=progress, message=message, at=at
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[AttemptProgress.run_uid, AttemptProgress.attempt],
            set_={
                "progress": func.coalesce(statement.excluded.progress, AttemptProgress.progress),
                "message": func.coalesce(statement.excluded.message, AttemptProgress.message),
                "at": statement.excluded.at,
            },
            where=AttemptProgress.at <= statement.excluded.at,
        )
    )


def progress_of(connection: Connection, *, uid: str) -> dict[int, ProgressRow]:
    """The last progress of each attempt of a run."""
    rows = connection.execute(
        select(AttemptProgress.attempt, AttemptProgress.progress, AttemptProgress.message, AttemptProgress.at).where(
            AttemptProgress.run_uid == uid
        )
    )
    return {row.attempt: row for row in all_rows(ProgressRow, rows)}
