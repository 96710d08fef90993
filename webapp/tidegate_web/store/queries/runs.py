"""Runs: written as the cluster changes, read as lists, single runs and counts."""

import base64
import binascii
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ACTIVE_PHASES, TERMINAL_PHASES, AnyRow, AttemptProgress, Outbox, Run
from tidegate_web.store.queries import webhooks
from tidegate_web.store.records import RunRecord

SUMMARY = (
    Run.uid, Run.project, Run.name, Run.created, Run.phase, Run.reason, Run.message, Run.task, Run.queue,
    Run.schedule, Run.batch, Run.parent_run, Run.tags, Run.attempt, Run.queued_at, Run.started_at, Run.finished_at, Run.deleted_at,
    Run.requested_by, Run.submitted_by,
)  # fmt: skip


class BadCursorError(ValueError):
    """The ``after`` of a list isn't one that we gave."""


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What a list is narrowed to. ``phases`` empty means all."""

    phases: tuple[str, ...] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    batch: str | None = None
    schedule: str | None = None
    parent: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A piece of a list, and where the next begins."""

    rows: list[AnyRow]
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many runs are in each phase: active ones now, ended ones of the last day."""

    active: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)


def upsert(
    connection: Connection, records: Sequence[RunRecord], *, relist: bool = False, submitted_by: str | None = None
) -> list[str]:
    """Write what the cluster says, and an event for each row that changed; returns the uids of those.

    An older version never replaces a newer one. After a re-list what was listed stands, whatever its version: an
    etcd restored from a backup counts from an older number on.
    """
    newest: dict[str, RunRecord] = {}
    for record in records:
        kept = newest.get(record.uid)
        if kept is None or kept.resource_version <= record.resource_version:
            newest[record.uid] = record
    if not newest:
        return []
    ordered = sorted(newest.values(), key=lambda record: record.uid)  # one order of row locks for all writers
    statement = pg_insert(Run).values([record.columns() | {"submitted_by": submitted_by} for record in ordered])
    new = statement.excluded
    changed = (
        or_(Run.resource_version != new.resource_version, Run.deleted_at.is_not(None))
        if relist
        else Run.resource_version < new.resource_version
    )
    written = {name: new[name] for name in RunRecord.__slots__ if name != "uid"}
    result = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Run.uid],
            set_=written | {"deleted_at": None, "submitted_by": func.coalesce(Run.submitted_by, new.submitted_by)},
            where=changed,
        ).returning(Run.uid)
    )
    uids = list(result.scalars())
    if submitted_by is not None:
        # The mirror may have been first with the same version.
        wrote = [record.uid for record in ordered]
        connection.execute(
            update(Run).where(Run.uid.in_(wrote), Run.submitted_by.is_(None)).values(submitted_by=submitted_by)
        )
    _tell(connection, [newest[uid] for uid in uids])
    return uids


def mark_deleted(connection: Connection, *, uids: Iterable[str], now: datetime) -> list[str]:
    """The TaskRuns are gone from the cluster; those that hadn't ended are ``Cancelled/Deleted``."""
    wanted = sorted(set(uids))
    if not wanted:
        return []
    connection.execute(
        update(Run)
        .where(Run.uid.in_(wanted), Run.deleted_at.is_(None), Run.phase.in_(TERMINAL_PHASES))
        .values(deleted_at=now)
    )
    cut = connection.execute(
        update(Run)
        .where(Run.uid.in_(wanted), Run.deleted_at.is_(None))
        .values(
            deleted_at=now,
            phase="Cancelled",
            reason="Deleted",
            message="The TaskRun was deleted before it had ended.",
            finished_at=now,
        )
        .returning(*SUMMARY)
    ).all()
    _tell(connection, cut)
    return [row.uid for row in cut]


def _tell(connection: Connection, rows: Sequence[RunRecord | AnyRow]) -> None:
    if not rows:
        return
    webhooks.tell(connection, rows)
    connection.execute(
        insert(Outbox),
        [
            {
                "project": row.project,
                "event": {
                    "uid": row.uid,
                    "name": row.name,
                    "phase": row.phase,
                    "reason": row.reason,
                    "attempt": row.attempt,
                    "progress": None,
                    "tags": row.tags,
                },
            }
            for row in rows
        ],
    )


def not_listed(connection: Connection, *, listed: set[str], project: str | None, chunk: int = 5000) -> list[AnyRow]:
    """Rows that should be in the cluster (all of it, or one namespace) and aren't among the uids of a re-list."""
    statement = select(Run.uid, Run.project, Run.name, Run.resource_version).where(Run.deleted_at.is_(None))
    if project is not None:
        statement = statement.where(Run.project == project)
    rows = connection.execute(statement, execution_options={"yield_per": chunk})
    return [row for row in rows if row.uid not in listed]


def encode_cursor(created: datetime, uid: str) -> str:
    return (
        base64.urlsafe_b64encode(json.dumps([created.astimezone(UTC).isoformat(), uid]).encode()).decode().rstrip("=")
    )


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        created, uid = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        parsed = datetime.fromisoformat(created)
        if parsed.tzinfo is None:
            raise ValueError("no time zone")
        return parsed, str(uuid.UUID(uid))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise BadCursorError("'after' is not a cursor of this list") from error


def _conditions(project: str, wanted: RunFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Run.project == project]
    if wanted.phases:
        conditions.append(Run.phase.in_(wanted.phases))
    for column, value in (
        (Run.task, wanted.task),
        (Run.queue, wanted.queue),
        (Run.batch, wanted.batch),
        (Run.schedule, wanted.schedule),
        (Run.parent_run, wanted.parent),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.tag is not None:
        conditions.append(Run.tags.contains([wanted.tag]))
    if wanted.text:
        escaped = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        pattern = f"%{escaped}%"
        conditions.append(or_(Run.name.ilike(pattern), Run.message.ilike(pattern), Run.tags.contains([wanted.text])))
    if wanted.since is not None:
        conditions.append(Run.created >= wanted.since)
    if wanted.until is not None:
        conditions.append(Run.created < wanted.until)
    return conditions


def page(connection: Connection, *, project: str, wanted: RunFilter, limit: int, after: str | None = None) -> Page:
    """Runs of a project, newest first, with the progress of their last attempt."""
    statement = (
        select(*SUMMARY, AttemptProgress.progress, AttemptProgress.message.label("progress_message"))
        .outerjoin(AttemptProgress, and_(AttemptProgress.run_uid == Run.uid, AttemptProgress.attempt == Run.attempt))
        .where(*_conditions(project, wanted))
        .order_by(Run.created.desc(), Run.uid.desc())
        .limit(limit + 1)
    )
    return _paged(connection, statement, limit=limit, after=after)


def children(
    connection: Connection, *, project: str, parent: str, since: datetime | None, limit: int, after: str | None = None
) -> Page:
    """The runs that a run made, newest first, with their statuses."""
    conditions = _conditions(project, RunFilter(parent=parent, since=since))
    statement = (
        select(*SUMMARY, Run.status).where(*conditions).order_by(Run.created.desc(), Run.uid.desc()).limit(limit + 1)
    )
    return _paged(connection, statement, limit=limit, after=after)


def _paged(connection: Connection, statement: Select[*tuple[Any, ...]], *, limit: int, after: str | None) -> Page:
    """One more was asked for than is wanted: it tells whether there is another page."""
    if after is not None:
        statement = statement.where(tuple_(Run.created, Run.uid) < decode_cursor(after))
    rows = list(connection.execute(statement))
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows=rows, after=encode_cursor(rows[-1].created, rows[-1].uid) if more else None)


def is_uid(reference: str) -> bool:
    try:
        return str(uuid.UUID(reference)) == reference.lower()
    except ValueError:
        return False


def find(connection: Connection, *, project: str, reference: str) -> AnyRow | None:
    """One run, whole, by uid or name; a name means its newest run."""
    condition = Run.uid == reference.lower() if is_uid(reference) else Run.name == reference
    return connection.execute(
        select(*Run.__table__.columns)
        .where(Run.project == project, condition)
        # Creation times have whole seconds; of one name there is only one in the cluster, and that is the newest.
        .order_by(Run.deleted_at.is_not(None), Run.created.desc(), Run.resource_version.desc())
        .limit(1)
    ).one_or_none()


def counts(connection: Connection, *, project: str, now: datetime) -> Counts:
    """The numbers above the list."""
    active = connection.execute(
        select(Run.phase, func.count()).where(Run.project == project, Run.phase.in_(ACTIVE_PHASES)).group_by(Run.phase)
    )
    ended = connection.execute(
        select(Run.phase, func.count())
        .where(Run.project == project, Run.finished_at >= now - timedelta(days=1), Run.phase.in_(TERMINAL_PHASES))
        .group_by(Run.phase)
    )
    return Counts(active=_tally(active), ended=_tally(ended))


def _tally(rows: Iterable[AnyRow]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in rows}


def choices(connection: Connection, *, project: str, limit: int = 1000) -> tuple[list[str], list[str]]:
    """Tasks and queues of the project's latest runs, for the list's filters."""
    latest = (
        select(Run.task, Run.queue).where(Run.project == project).order_by(Run.created.desc()).limit(limit).subquery()
    )
    rows = connection.execute(select(latest.c.task, latest.c.queue).distinct()).all()
    return (
        sorted({row.task for row in rows if row.task}),
        sorted({row.queue for row in rows if row.queue}),
    )


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


def progress_of(connection: Connection, *, uid: str) -> dict[int, AnyRow]:
    """The last progress of each attempt of a run."""
    rows = connection.execute(
        select(AttemptProgress.attempt, AttemptProgress.progress, AttemptProgress.message, AttemptProgress.at).where(
            AttemptProgress.run_uid == uid
        )
    )
    return {row.attempt: row for row in rows}
