"""Counts and durations of a project's runs over time, and its batches. 422 where there is too much to count in time."""

from dataclasses import dataclass
from datetime import datetime

from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import stats
from tidegate_web.store.queries.stats import BatchRow, EndedRow, TimesRow, TooMuchError, Window


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The runs of a window: how many were created and ended, by bucket, and how long they took."""

    created: dict[datetime, int]
    ended: list[EndedRow]
    times: TimesRow
    times_by_bucket: dict[datetime, TimesRow]


def counted(made: Services, window: Window) -> Counted:
    """Count a window's runs."""
    try:
        with stats.counting(made.engine) as connection:
            return Counted(
                created=stats.created(connection, window),
                ended=stats.ended(connection, window),
                times=stats.times(connection, window),
                times_by_bucket=stats.times_by_bucket(connection, window),
            )
    except TooMuchError as error:
        raise _too_much() from error


def batches(made: Services, window: Window, *, limit: int, after: tuple[datetime, str] | None) -> list[BatchRow]:
    """Batches with runs in a window, the latest first."""
    try:
        with stats.counting(made.engine) as connection:
            return stats.batches(
                connection,
                project=window.project,
                since=window.since,
                until=window.until,
                limit=limit,
                after=after,
            )
    except TooMuchError as error:
        raise _too_much() from error


def batches_or_none(
    made: Services, window: Window, *, limit: int, after: tuple[datetime, str] | None
) -> list[BatchRow] | None:
    """The same; None while Postgres is away."""
    return with_fallback(lambda: batches(made, window, limit=limit, after=after), lambda: None)


def _too_much() -> Problem:
    return Problem(422, "There is too much to count. Narrow the time.")
