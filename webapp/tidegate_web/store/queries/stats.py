"""Counts and durations over time, and batches. Each query is of one project and a time, and may take some seconds at most."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

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

from tidegate_web.store.models import TERMINAL_PHASES, AnyRow, Run

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

    def of(self, time: SQLColumnExpression[Any]) -> list[ColumnElement[bool]]:
        """The conditions, with the time that counts."""
        conditions = [Run.project == self.project, time >= self.since, time < self.until]
        for column, value in ((Run.task, self.task), (Run.queue, self.queue)):
            if value is not None:
                conditions.append(column == value)
        return conditions

    def bucket(self, time: SQLColumnExpression[Any]) -> SQLColumnExpression[Any]:
        return func.date_bin(cast(literal(timedelta(seconds=self.step)), INTERVAL), time, EPOCH)


@contextmanager
def counting(engine: Engine) -> Iterator[Connection]:
    """A connection whose queries end soon, with an answer or with TooMuchError."""
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = {round(SECONDS * 1000)}"))
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            raise TooMuchError from error
        raise


def created(connection: Connection, window: Window) -> dict[datetime, int]:
    """How many were created, by bucket."""
    time: Label[Any] = window.bucket(Run.created).label("at")
    rows = connection.execute(select(time, func.count()).where(*window.of(Run.created)).group_by(time))
    return {row[0]: row[1] for row in rows}


def ended(connection: Connection, window: Window) -> Sequence[AnyRow]:
    """How many ended in each phase, by bucket."""
    time: Label[Any] = window.bucket(Run.finished_at).label("at")
    return connection.execute(
        select(time, Run.phase, func.count().label("number"))
        .where(*window.of(Run.finished_at), Run.phase.in_(TERMINAL_PHASES))
        .group_by(time, Run.phase)
    ).all()


def times(connection: Connection, window: Window, *, by_bucket: bool) -> Sequence[AnyRow]:
    """Seconds that runs took and had waited before, as [p50, p95]; by bucket, or of the window as one."""
    shares = cast([0.5, 0.95], ARRAY(Float))

    def percentiles(since: SQLColumnExpression[Any], until: SQLColumnExpression[Any]) -> ColumnElement[Any]:
        return func.percentile_cont(shares).within_group(extract("epoch", until - since))

    time: Label[Any] = window.bucket(Run.finished_at).label("at")
    columns = (
        percentiles(Run.started_at, Run.finished_at).label("took"),
        percentiles(Run.queued_at, Run.started_at).label("waited"),
    )
    conditions = (*window.of(Run.finished_at), Run.phase.in_(TERMINAL_PHASES), Run.started_at.is_not(None))
    if not by_bucket:
        return connection.execute(select(*columns).where(*conditions)).all()
    return connection.execute(select(time, *columns).where(*conditions).group_by(time)).all()


def batches(
    connection: Connection,
    *,
    project: str,
    since: datetime,
    until: datetime,
    limit: int,
    after: tuple[datetime, str] | None,
) -> Sequence[AnyRow]:
    """Batches with runs created in a time, the latest first: how many runs are in each phase, and their first and last."""
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
    return connection.execute(statement).all()
