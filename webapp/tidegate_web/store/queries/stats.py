"""Counts and durations over time, and batches. Each query is of one project and a time, and may take some seconds at most."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from psycopg.errors import QueryCanceled
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Float,
    Label,
    SQLColumnExpression,
    cast,
    extract,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL
from sqlalchemy.exc import OperationalError

from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.store.models import Run
from tidegate_web.store.rows import all_rows, row_of

SECONDS: float = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEPS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400)
MOST_BUCKETS = 120


class TooMuchError(Exception):
    """It can't be counted in the time that a query may take."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is counted: a project's runs in a time, of a Task or a Queue if one is named."""

    project: str
    since: datetime
    until: datetime
    task: str | None = None
    queue: str | None = None

    @property
    def step(self) -> int:
        """Seconds of a bucket: the finest that gives no more than can be shown."""
        seconds = (self.until - self.since).total_seconds()
        return next((step for step in STEPS if seconds / step <= MOST_BUCKETS), STEPS[-1])

    @property
    def buckets(self) -> list[datetime]:
        """Where each begins, the empty ones too. They are at whole multiples of the step."""
        step = timedelta(seconds=self.step)
        first = EPOCH + (self.since - EPOCH) // step * step
        return [first + number * step for number in range(-((first - self.until) // step))]

    def of(self, time: SQLColumnExpression[datetime | None]) -> list[ColumnElement[bool]]:
        """The conditions, with the time that counts."""
        conditions = [Run.project == self.project, time >= self.since, time < self.until]
        for column, value in ((Run.task, self.task), (Run.queue, self.queue)):
            if value is not None:
                conditions.append(column == value)
        return conditions

    def bucket(self, time: SQLColumnExpression[datetime | None]) -> SQLColumnExpression[datetime]:
        return func.date_bin(cast(literal(timedelta(seconds=self.step)), INTERVAL), time, EPOCH)


@dataclass(frozen=True, slots=True)
class EndedRow:
    """How many ended in a phase, in a bucket."""

    at: datetime
    phase: str
    number: int


@dataclass(frozen=True, slots=True)
class TimesRow:
    """Percentiles of seconds, each [p50, p95]; None where there were no runs."""

    took: list[float] | None
    waited: list[float] | None


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch: how many of its runs are in each phase, and its first and last."""

    batch: str
    phases: dict[str, int]
    first: datetime
    last: datetime


@contextmanager
def counting(engine: Engine) -> Iterator[Connection]:
    """A connection whose queries end soon, with an answer or with TooMuchError."""
    with engine.begin() as connection, bounded(connection):
        yield connection


@contextmanager
def bounded(connection: Connection) -> Iterator[None]:
    """Queries end soon, with an answer or with TooMuchError. The transaction can be gone on with after either."""
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL statement_timeout = {round(SECONDS * 1000)}"))
            yield
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooMuchError from error
        raise


def created(connection: Connection, window: Window) -> dict[datetime, int]:
    """How many were created, by bucket."""
    time: Label[datetime] = window.bucket(Run.created).label("at")
    rows = connection.execute(select(time, func.count()).where(*window.of(Run.created)).group_by(time))
    return dict(rows.all())


def ended(connection: Connection, window: Window) -> list[EndedRow]:
    """How many ended in each phase, by bucket."""
    time: Label[datetime] = window.bucket(Run.finished_at).label("at")
    found = (
        select(time, Run.phase, func.count().label("number"))
        .where(*window.of(Run.finished_at), Run.phase.in_(TERMINAL_PHASES))
        .group_by(time, Run.phase)
    )
    return all_rows(EndedRow, connection.execute(found))


def times(connection: Connection, window: Window) -> TimesRow:
    """Seconds that the window's runs took and had waited before."""
    took, waited, conditions = _times(window)
    return row_of(TimesRow, connection.execute(select(took, waited).where(*conditions)).one())


def times_by_bucket(connection: Connection, window: Window) -> dict[datetime, TimesRow]:
    """The same of each bucket that has any."""
    took, waited, conditions = _times(window)
    time: Label[datetime] = window.bucket(Run.finished_at).label("at")
    rows = connection.execute(select(time, took, waited).where(*conditions).group_by(time))
    return {at: TimesRow(took=ran, waited=queued) for at, ran, queued in rows}


Percentiles: TypeAlias = ColumnElement[list[float] | None]


def _times(window: Window) -> tuple[Percentiles, Percentiles, list[ColumnElement[bool]]]:
    shares = cast([0.5, 0.95], ARRAY(Float))

    def percentiles(
        since: SQLColumnExpression[datetime | None], until: SQLColumnExpression[datetime | None]
    ) -> Percentiles:
        return func.percentile_cont(shares).within_group(extract("epoch", until - since))

    conditions = [*window.of(Run.finished_at), Run.phase.in_(TERMINAL_PHASES), Run.started_at.is_not(None)]
    return percentiles(Run.started_at, Run.finished_at), percentiles(Run.queued_at, Run.started_at), conditions


def batches(
    connection: Connection,
    *,
    project: str,
    since: datetime,
    until: datetime,
    limit: int,
    after: tuple[datetime, str] | None,
) -> list[BatchRow]:
    """Batches with runs created in a time, the latest first:"""
    by_phase = (
        select(
            Run.batch,
            Run.phase,
            func.count().label("number"),
            func.min(Run.created).label("first"),
            func.max(Run.created).label("last"),
        )
        .where(Run.project == project, Run.batch.is_not(None), Run.created >= since, Run.created < until)
        .group_by(Run.batch, Run.phase)
        .subquery()
    )
    last = func.max(by_phase.c.last)
    statement = (
        select(
            by_phase.c.batch,
            func.jsonb_object_agg(by_phase.c.phase, by_phase.c.number).label("phases"),
            func.min(by_phase.c.first).label("first"),
            last.label("last"),
        )
        .group_by(by_phase.c.batch)
        .order_by(last.desc(), by_phase.c.batch.desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.having(tuple_(last, by_phase.c.batch) < after)
    return all_rows(BatchRow, connection.execute(statement))
