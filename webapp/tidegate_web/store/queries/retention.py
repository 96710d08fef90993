"""Which finished runs may leave the cluster. Asked of Postgres, so that only what is committed can be deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Boolean, Connection, Text, and_, cast, column, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.phases import ACTIVE_PHASES, TERMINAL_PHASES
from tidegate_web.store.models import Run
from tidegate_web.store.rows import all_rows

CANDIDATE = (
    Run.uid,
    Run.created,
    Run.project,
    Run.name,
    Run.schedule,
    Run.resource_version,
    Run.status,
    Run.finished_at,
)


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A finished run that may leave the cluster."""

    uid: str
    created: datetime
    project: str
    name: str
    schedule: str | None
    resource_version: int
    status: JsonObject
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryLimit:
    """How many finished runs of a Schedule stay: of those that succeeded, or of all others."""

    project: str
    schedule: str
    succeeded: bool
    keep: int


def expired(
    connection: Connection, *, now: datetime, project: str | None, limit: int, offset: int
) -> list[CandidateRow]:
    """Finished runs past their TTL, oldest first."""
    statement = (
        select(*CANDIDATE)
        .where(Run.deleted_at.is_(None), Run.phase.in_(TERMINAL_PHASES), Run.expires_at <= now)
        .order_by(Run.expires_at, Run.uid)
        .limit(limit)
        .offset(offset)
    )
    found = connection.execute(statement if project is None else statement.where(Run.project == project))
    return all_rows(CandidateRow, found)


def surplus(connection: Connection, *, keep: int, project: str | None, limit: int, offset: int) -> list[CandidateRow]:
    """Finished runs beyond what a namespace keeps, oldest first."""
    place = func.row_number().over(partition_by=Run.project, order_by=(Run.finished_at.desc(), Run.uid)).label("place")
    ranked = select(*CANDIDATE, place).where(Run.deleted_at.is_(None), Run.phase.in_(TERMINAL_PHASES))
    if project is not None:
        ranked = ranked.where(Run.project == project)
    inner = ranked.subquery()
    beyond = (
        select(*(inner.c[column.key] for column in CANDIDATE))
        .where(inner.c.place > keep)
        .order_by(inner.c.finished_at, inner.c.uid)
    )
    return all_rows(CandidateRow, connection.execute(beyond.limit(limit).offset(offset)))


def beyond_history(
    connection: Connection, *, limits: Sequence[HistoryLimit], limit: int, offset: int
) -> list[CandidateRow]:
    """Finished runs beyond the history limits of their Schedules, oldest first."""
    if not limits:
        return []
    wanted = (
        func.unnest(
            cast([one.project for one in limits], ARRAY(Text)),
            cast([one.schedule for one in limits], ARRAY(Text)),
            cast([one.succeeded for one in limits], ARRAY(Boolean)),
            cast([one.keep for one in limits], ARRAY(BigInteger)),
        )
        .table_valued(
            column("project", Text), column("schedule", Text), column("succeeded", Boolean), column("keep", BigInteger)
        )
        .render_derived(name="wanted")
    )
    succeeded = Run.phase == "Succeeded"
    place = func.row_number().over(
        partition_by=(Run.project, Run.schedule, succeeded), order_by=(Run.created.desc(), Run.name.desc())
    )
    inner = (
        select(*CANDIDATE, wanted.c.keep, place.label("place"))
        .join(
            wanted,
            and_(
                wanted.c.project == Run.project,
                wanted.c.schedule == Run.schedule,
                wanted.c.succeeded == succeeded,
            ),
        )
        .where(Run.deleted_at.is_(None), Run.phase.in_(TERMINAL_PHASES))
        .subquery()
    )
    beyond = (
        select(*(inner.c[column.key] for column in CANDIDATE))
        .where(inner.c.place > inner.c.keep)
        .order_by(inner.c.created, inner.c.name)
    )
    return all_rows(CandidateRow, connection.execute(beyond.limit(limit).offset(offset)))


def with_old_pods(connection: Connection, *, before: datetime, project: str | None, limit: int) -> list[CandidateRow]:
    """Finished runs whose Jobs may go while the TaskRun stays."""
    statement = (
        select(*CANDIDATE)
        .where(
            Run.deleted_at.is_(None),
            Run.phase.in_(TERMINAL_PHASES),
            Run.pods_removed_at.is_(None),
            Run.finished_at <= before,
        )
        .order_by(Run.finished_at)
        .limit(limit)
    )
    found = connection.execute(statement if project is None else statement.where(Run.project == project))
    return all_rows(CandidateRow, found)


def pods_removed(connection: Connection, *, uid: str, created: datetime, now: datetime) -> None:
    connection.execute(update(Run).where(Run.uid == uid, Run.created == created).values(pods_removed_at=now))


def needed_by_live_runs(connection: Connection, *, project: str, name: str) -> bool:
    """Whether a run that goes on depends on the one of this name."""
    depends = Run.spec["dependsOn"].cast(JSONB).contains([{"name": name}])
    return bool(
        connection.execute(
            select(Run.uid).where(Run.project == project, Run.phase.in_(ACTIVE_PHASES), or_(depends)).limit(1)
        ).first()
    )
