"""Moves everything that is kept of a project to another name: away, when another namespace has taken its name, or back.

Access goes in the transaction that begins a move: members, keys, webhooks, settings, saved views. Runs, idempotency keys, the audit log and
specs of Tasks follow in steps, for they may be many. What the target has already is kept, and the source's is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import InstrumentedAttribute, aliased

from tidegate_web.store.models import (
    ApiKey,
    Audit,
    Base,
    BulkOperation,
    IdempotencyKey,
    Invitation,
    Member,
    ProjectMove,
    ProjectNamespace,
    ProjectSettings,
    Run,
    RunKey,
    Session,
    TaskSpecText,
    Webhook,
)
from tidegate_web.store.queries import project_bytes, rollups, run_keys, run_views, runs
from tidegate_web.store.rows import all_rows

MOVE = (ProjectMove.source, ProjectMove.target, ProjectMove.runs_before, ProjectMove.begun, ProjectMove.completed)


@dataclass(frozen=True, slots=True)
class MoveRow:
    """A move of a project's rows to another name."""

    source: str
    target: str
    runs_before: datetime | None
    begun: datetime
    completed: datetime | None


def begin(connection: Connection, *, source: str, target: str, runs_before: datetime | None) -> None:
    """Begin to move a project, and take the access to it along. ``runs_before``: runs that were created from then on stay."""
    fields = {"target": target, "runs_before": runs_before, "completed": None}
    connection.execute(
        pg_insert(ProjectMove)
        .values(source=source, **fields)
        .on_conflict_do_update(index_elements=[ProjectMove.source], set_=fields | {"begun": func.now()})
    )
    connection.execute(delete(Invitation).where(Invitation.project == source, Invitation.accepted.is_(None)))
    connection.execute(
        update(BulkOperation)
        .where(BulkOperation.project == source)
        .values(project=target, aborted=BulkOperation.aborted | BulkOperation.finished.is_(None))
    )
    for model in (ApiKey, Webhook, Invitation):
        connection.execute(update(model).where(model.project == source).values(project=target))
    _merge(connection, Member, (Member.user_id,), source=source, target=target)
    _merge(connection, ProjectSettings, (), source=source, target=target)
    run_views.move(connection, source=source, target=target)


def open_moves(connection: Connection, *, project: str) -> list[MoveRow]:
    """The moves to and from a project, in the order in which they began."""
    found = (
        select(*MOVE)
        .where((ProjectMove.source == project) | (ProjectMove.target == project))
        .order_by(ProjectMove.begun)
    )
    return all_rows(MoveRow, connection.execute(found))


def step(connection: Connection, move: MoveRow, *, limit: int, now: datetime) -> bool:
    """Move up to so many rows; False when none are left."""
    return step_of_runs(connection, move, limit=limit, now=now) or _step_of_others(connection, move, limit=limit)


def step_of_runs(connection: Connection, move: MoveRow, *, limit: int, now: datetime) -> bool:
    """Move up to so many runs; False when none are left. Those that should be in the cluster went with their namespace."""
    older = () if move.runs_before is None else (RunKey.created < move.runs_before,)
    places = {
        row.uid: row.created
        for row in connection.execute(
            select(RunKey.uid, RunKey.created).where(RunKey.project == move.source, *older).limit(limit)
        )
    }
    if not places:
        return False
    wanted = run_keys.rows_of(places, uid=Run.uid, created=Run.created)
    connection.execute(update(RunKey).where(RunKey.uid.in_(places)).values(project=move.target))
    connection.execute(update(Run).where(*wanted).values(project=move.target))
    runs.mark_deleted(connection, uids=places, now=now)
    return True


def _step_of_others(connection: Connection, move: MoveRow, *, limit: int) -> bool:
    some = select(Audit.id).where(Audit.project == move.source).limit(limit)
    moved = connection.execute(update(Audit).where(Audit.id.in_(some)).values(project=move.target).returning(Audit.id))
    if moved.first() is not None:
        return True
    key = (IdempotencyKey.task, IdempotencyKey.key)
    if _merge(connection, IdempotencyKey, key, source=move.source, target=move.target, limit=limit):
        return True
    return _merge(connection, TaskSpecText, (TaskSpecText.hash,), source=move.source, target=move.target, limit=limit)


def _merge(
    connection: Connection,
    model: type[Base],
    key: Sequence[InstrumentedAttribute[Any]],
    *,
    source: str,
    target: str,
    limit: int | None = None,
) -> bool:
    """Move rows whose primary key is the project and ``key``; those of a key that the target has are deleted. False when there
    were none."""
    columns: Any = model
    there = aliased(columns)
    same = [getattr(there, column.key) == column for column in key]
    taken = select(there.project).where(there.project == target, *same).exists()
    which = [columns.project == source]
    if limit is not None:
        rows = connection.execute(select(*key).where(*which).limit(limit)).all()
        if not rows:
            return False
        which.append(tuple_(*key).in_([tuple(row) for row in rows]))
    moved = connection.execute(update(model).where(*which, ~taken).values(project=target).returning(columns.project))
    left = connection.execute(delete(model).where(*which).returning(columns.project))
    return bool(moved.first() or left.first())


def complete(connection: Connection, move: MoveRow, *, now: datetime) -> None:
    """Open both projects. A former project that is empty now, because its data went back, is forgotten."""
    connection.execute(update(ProjectMove).where(ProjectMove.source == move.source).values(completed=now))
    if "@" in move.source:
        connection.execute(delete(ProjectNamespace).where(ProjectNamespace.project == move.source))
    project_bytes.move(connection, source=move.source, target=move.target)
    for project in (move.source, move.target):
        rollups.forget_project(connection, project)


def forget(connection: Connection, *, completed_before: datetime) -> None:
    """Drop moves that were completed before this."""
    connection.execute(delete(ProjectMove).where(ProjectMove.completed < completed_before))


def token_hashes(connection: Connection, *, project: str) -> list[bytes]:
    """Those of the API keys of a project, and of the sessions of its members."""
    keys = connection.execute(select(ApiKey.key_hash).where(ApiKey.project == project)).scalars()
    members = select(Member.user_id).where(Member.project == project)
    sessions = connection.execute(select(Session.token_hash).where(Session.user_id.in_(members))).scalars()
    return [*keys, *sessions]
