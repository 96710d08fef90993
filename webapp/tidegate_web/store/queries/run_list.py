"""Lists of runs, newest first, and the numbers above them.

Whatever a list is narrowed to, each part of its query reads one index in the list's order, or an index that finds few
rows; parts that differ in that (several phases; runs in the cluster and archived ones, whose text is found in different
ways) are asked for one by one in one statement, and the newest of them taken.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    SQLColumnExpression,
    Text,
    and_,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from tidegate_web.shared.paging import cut
from tidegate_web.shared.phases import ACTIVE_PHASES, TERMINAL_PHASES
from tidegate_web.store.models import AttemptProgress, Run
from tidegate_web.store.rows import WideSelect, all_rows
from tidegate_web.store.run_rows import SUMMARY, WITH_STATUS, ListedRunRow, RunStatusRow, RunSummaryRow

SEARCHED = 10_000
"""Runs that are looked through, newest first, for a text that has no three letters or digits in a row."""
KEY: ColumnElement[str | None] = func.left(
    Run.spec.op("->>", return_type=Text())(literal_column("'concurrencyKey'")), literal_column("128"), type_=Text()
)
REQUESTER: ColumnElement[str | None] = func.left(
    func.coalesce(Run.submitted_by, Run.requested_by), literal_column("512"), type_=Text()
)
"""As their indexes have them (``KEY_SQL``, ``REQUESTER_SQL``): a parameter in them would not match."""
PRIORITY: ColumnElement[str | None] = func.left(
    Run.spec.op("->>", return_type=Text())(literal_column("'priority'")), literal_column("20"), type_=Text()
)
_TRIGRAM = re.compile(r"[A-Za-z0-9]{3}")


Conditions: TypeAlias = list[ColumnElement[bool]]
Row = TypeVar("Row", bound=RunSummaryRow)


class BadCursorError(ValueError):
    """The ``after`` or ``before`` of a list isn't one that we gave."""


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What a list is narrowed to. ``phases`` empty means all."""

    phases: tuple[str, ...] = ()
    reason: str | None = None
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    batch: str | None = None
    schedule: str | None = None
    parent: str | None = None
    key: str | None = None
    requested_by: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """A piece of a list, and where the next begins, towards older rows and towards newer ones."""

    rows: list[Row]
    after: str | None
    before: str | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many runs are in each phase: active ones now, ended ones of the last day."""

    active: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)


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
        raise BadCursorError("'after', 'before' and 'top' must be cursors of this list") from error


def page(
    connection: Connection,
    *,
    project: str,
    wanted: RunFilter,
    limit: int,
    after: str | None = None,
    before: str | None = None,
    top: str | None = None,
    of_spec: bool = False,
) -> Page[ListedRunRow]:
    """Runs of a project, newest first, with the progress of their last attempt: those after a cursor or before one, or from
    ``top`` on, the cursor of the run to begin with. ``of_spec``: with their priorities and keys."""
    piece = _piece(SUMMARY, project=project, wanted=wanted, limit=limit + 1, after=after, before=before, top=top)
    found = piece.subquery("piece")
    columns = found.c
    progress = and_(AttemptProgress.run_uid == columns.uid, AttemptProgress.attempt == columns.attempt)
    statement: WideSelect = select(*found.c, AttemptProgress.progress, AttemptProgress.message)
    statement = statement.outerjoin(AttemptProgress, progress).order_by(columns.created.desc(), columns.uid.desc())
    if of_spec:
        # Of the rows of the piece alone: a spec may be large, and lies apart from its row.
        same = and_(Run.uid == columns.uid, Run.created == columns.created)
        statement = statement.add_columns(PRIORITY, KEY).join(Run, same)
    return page_of(all_rows(ListedRunRow, connection.execute(statement)), limit, after=after, before=before)


def count_newer(connection: Connection, *, project: str, wanted: RunFilter, top: str, most: int) -> int:
    """How many runs that match are newer than the one that the list begins with; ``most`` where there are more."""
    newer = _piece(SUMMARY, project=project, wanted=wanted, limit=most, before=top).subquery("newer")
    return connection.execute(select(func.count()).select_from(newer)).scalar_one()


def count_matching(connection: Connection, matching: Select[str], *, most: int) -> int:
    """How many runs a filter finds; ``most`` where there are more."""
    found = matching.limit(most).subquery("found")
    return connection.execute(select(func.count()).select_from(found)).scalar_one()


def matching(project: str, wanted: RunFilter, *, tasks: Collection[str] | None = None) -> Select[str]:
    """The query for the uids of all runs that a filter finds; of some Tasks alone, None for all."""
    conditions = _conditions(project, wanted)
    if wanted.phases:
        conditions.append(Run.phase.in_(wanted.phases))
    if wanted.text:
        conditions.append(_has_text(wanted.text, name=Run.name, message=Run.message, tags=Run.tags))
    if tasks is not None:
        conditions.append(Run.task.in_(tasks))
    return select(Run.uid).where(*conditions)


def children(
    connection: Connection, *, project: str, parent: str, since: datetime | None, limit: int, after: str | None = None
) -> Page[RunStatusRow]:
    """The runs that a run made, newest first, with their statuses."""
    wanted = RunFilter(parent=parent, since=since)
    statement = _piece(WITH_STATUS, project=project, wanted=wanted, limit=limit + 1, after=after)
    return page_of(all_rows(RunStatusRow, connection.execute(statement)), limit)


def started_by(
    connection: Connection, *, project: str, parents: Collection[str], since: datetime, until: datetime, limit: int
) -> list[RunSummaryRow]:
    """The runs that these runs have started in a time, oldest first."""
    statement = (
        select(*SUMMARY)
        .where(Run.project == project, Run.parent_run.in_(parents), Run.created >= since, Run.created < until)
        .order_by(Run.created, Run.uid)
        .limit(limit)
    )
    return all_rows(RunSummaryRow, connection.execute(statement))


def page_of(rows: Sequence[Row], limit: int, *, after: str | None = None, before: str | None = None) -> Page[Row]:
    """A page of rows that are in order, newest first, of which there is one more than is wanted if there is another page."""
    if before is not None:
        piece = list(rows[-limit:])
        return Page(rows=piece, after=_cursor(piece[-1:]), before=_cursor(piece[:1]) if len(rows) > limit else None)
    piece, last = cut(rows, limit)
    older = None if last is None else encode_cursor(last.created, last.uid)
    return Page(rows=piece, after=older, before=None if after is None else _cursor(piece[:1]))


def _cursor(rows: Sequence[Row]) -> str | None:
    return encode_cursor(rows[0].created, rows[0].uid) if rows else None


def _piece(
    columns: Sequence[InstrumentedAttribute[object]],
    *,
    project: str,
    wanted: RunFilter,
    limit: int,
    after: str | None = None,
    before: str | None = None,
    top: str | None = None,
) -> WideSelect:
    """The newest runs after a cursor or from one on, or the oldest before one."""
    everywhere = _conditions(project, wanted) + _beyond(after=after, before=before, top=top)
    order = partial(_in_order, oldest_first=before is not None, limit=limit)
    phases: list[Conditions] = [[Run.phase == phase] for phase in dict.fromkeys(wanted.phases)] or [[]]
    if wanted.text and not _TRIGRAM.search(wanted.text):
        some = partial(_in_order, oldest_first=before is not None, limit=SEARCHED)
        among = _merged(columns, [[*everywhere, *phase] for phase in phases], some).subquery("among")
        found = among.c
        has_text = _has_text(wanted.text, name=found.name, message=found.message, tags=found.tags)
        return order(select(*found).where(has_text), created=found.created, uid=found.uid)
    if not wanted.text and wanted.tag is None:
        return _merged(columns, [[*everywhere, *phase] for phase in phases], order)
    # What is found by its text is few, or it is frequent: the phase is then only looked at.
    if wanted.phases:
        everywhere.append(Run.phase.in_(wanted.phases))
    if wanted.text:
        everywhere.append(_has_text(wanted.text, name=Run.name, message=Run.message, tags=Run.tags))
    places = (Run.deleted_at.is_(None), Run.deleted_at.is_not(None))
    return _merged(columns, [[*everywhere, place] for place in places], order)


def _merged(
    columns: Sequence[InstrumentedAttribute[object]], parts: Sequence[Conditions], order: "partial[WideSelect]"
) -> WideSelect:
    """The first of several parts."""
    found = [order(select(*columns).where(*part), created=Run.created, uid=Run.uid) for part in parts]
    if len(found) == 1:
        return found[0]
    together = union_all(*found).subquery("together")
    return order(select(*together.c), created=together.c.created, uid=together.c.uid)


def _in_order(
    statement: WideSelect,
    *,
    created: SQLColumnExpression[datetime],
    uid: SQLColumnExpression[str],
    limit: int,
    oldest_first: bool,
) -> WideSelect:
    by = (created.asc(), uid.asc()) if oldest_first else (created.desc(), uid.desc())
    return statement.order_by(*by).limit(limit)


def _beyond(*, after: str | None = None, before: str | None = None, top: str | None = None) -> Conditions:
    """Newer than a cursor, or older, or not newer. The first condition of each says nothing new, but by it Postgres leaves out
    months."""
    if before is not None:
        created, uid = decode_cursor(before)
        return [Run.created >= created, tuple_(Run.created, Run.uid) > (created, uid)]
    if after is not None:
        created, uid = decode_cursor(after)
        return [Run.created <= created, tuple_(Run.created, Run.uid) < (created, uid)]
    if top is not None:
        created, uid = decode_cursor(top)
        return [Run.created <= created, tuple_(Run.created, Run.uid) <= (created, uid)]
    return []


def _conditions(project: str, wanted: RunFilter) -> Conditions:
    conditions: Conditions = [Run.project == project]
    for column, value in (
        (Run.reason, wanted.reason),
        (Run.task, wanted.task),
        (Run.queue, wanted.queue),
        (Run.batch, wanted.batch),
        (Run.schedule, wanted.schedule),
        (Run.parent_run, wanted.parent),
        (KEY, wanted.key),
        (REQUESTER, wanted.requested_by),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.tag is not None:
        conditions.append(Run.tags.contains([wanted.tag]))
    if wanted.since is not None:
        conditions.append(Run.created >= wanted.since)
    if wanted.until is not None:
        conditions.append(Run.created < wanted.until)
    return conditions


def _has_text(
    wanted: str,
    *,
    name: SQLColumnExpression[str],
    message: SQLColumnExpression[str | None],
    tags: SQLColumnExpression[list[str]],
) -> ColumnElement[bool]:
    escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"%{escaped}%"
    return or_(name.ilike(pattern), message.ilike(pattern), tags.contains([wanted]))


def counts(connection: Connection, *, project: str, now: datetime) -> Counts:
    """The numbers above the list."""
    ended = connection.execute(
        select(Run.phase, func.count())
        .where(Run.project == project, Run.finished_at >= now - timedelta(days=1), Run.phase.in_(TERMINAL_PHASES))
        .group_by(Run.phase)
    )
    return Counts(active=active(connection, project=project), ended=dict(ended.all()))


def active(connection: Connection, *, project: str) -> dict[str, int]:
    """How many runs are in each phase that isn't an end."""
    found = connection.execute(
        select(Run.phase, func.count()).where(Run.project == project, Run.phase.in_(ACTIVE_PHASES)).group_by(Run.phase)
    )
    return dict(found.all())


def choices(connection: Connection, *, project: str, limit: int = 1000) -> tuple[list[str], list[str]]:
    """Tasks and queues of the project's latest runs, for the list's filters."""
    latest = (
        select(Run.task, Run.queue).where(Run.project == project).order_by(Run.created.desc()).limit(limit).subquery()
    )
    rows = connection.execute(select(latest.c.task, latest.c.queue).distinct()).all()
    return sorted({task for task, _ in rows if task}), sorted({queue for _, queue in rows if queue})
