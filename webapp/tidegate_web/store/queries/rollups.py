"""Counts of runs that have ended: made of the runs of some hours, and read for a page.

What is kept counts the runs that ended before a project's mark. What ended since is counted for a page at once, with the same statements.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared import time_histogram
from tidegate_web.shared.phases import FAILED_PHASES, TERMINAL_PHASES
from tidegate_web.store.models import FailureRollup, RollupMark, RunRollup
from tidegate_web.store.rows import all_rows

QUARTER: Final = timedelta(minutes=15)
HOUR: Final = timedelta(hours=1)
STEPS: Final = (QUARTER, HOUR)
MOST_KINDS: Final = 200
"""Kinds of failures that are kept of an hour: the most frequent."""
MESSAGE_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class RolledUp:
    """The runs that ended in a phase, in a bucket."""

    at: datetime
    phase: str
    runs: int
    took: dict[str, int]
    waited: dict[str, int]


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Failures that are alike, of some time."""

    at: datetime
    task: str | None
    reason: str | None
    message: str
    runs: int
    first_at: datetime
    last_at: datetime
    last_run: str

    @property
    def key(self) -> tuple[str | None, str | None, str]:
        """What they have in common."""
        return self.task, self.reason, self.message


_BUCKET = (
    "width_bucket(ln(greatest(least(extract(epoch FROM {}), :most), :least)), ln(CAST(:least AS numeric)),"
    " ln(CAST(:most AS numeric)), :buckets)"
)
_ENDED = text(
    f"""
SELECT date_bin(make_interval(secs => :step), finished_at, 'epoch') AS at, phase, count(*) AS runs,
  array_agg({_BUCKET.format("finished_at - started_at")}) FILTER (WHERE started_at IS NOT NULL) AS took,
  array_agg({_BUCKET.format("started_at - queued_at")}) FILTER (WHERE started_at IS NOT NULL AND queued_at IS NOT NULL) AS waited
FROM runs WHERE project = :project AND finished_at >= :since AND finished_at < :until
  AND phase = ANY(:phases)
GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 - our own names
)
# What differs from one failure to the next of a kind: identifiers, addresses in memory, numbers.
_MESSAGE = (
    "regexp_replace(left(coalesce(message, ''), :characters),"
    " '[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|0x[0-9a-fA-F]+|[0-9]+', '#', 'g')"
)
_FAILED = text(
    f"""
SELECT task, reason, {_MESSAGE} AS message, count(*) AS runs, min(finished_at) AS first_at, max(finished_at) AS last_at,
  (array_agg(uid ORDER BY finished_at DESC))[1] AS last_run
FROM runs WHERE project = :project AND finished_at >= :since AND finished_at < :until AND phase = ANY(:phases)
GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2, 3 LIMIT :kinds
"""  # noqa: S608 - our own names
)


_HOURS = text(
    """
SELECT date_bin('1 hour', finished_at, 'epoch') AS hour FROM runs
WHERE project = :project AND finished_at >= :since AND finished_at < :until
UNION SELECT at FROM run_rollups WHERE project = :project AND step = 3600 AND at >= :since AND at < :until ORDER BY 1
"""
)


def ended(connection: Connection, *, project: str, since: datetime, until: datetime, step: timedelta) -> list[RolledUp]:
    """Count the runs that ended in a time, by bucket and phase."""
    values = {
        "project": project,
        "since": since,
        "until": until,
        "step": step.total_seconds(),
        "least": time_histogram.LEAST_SECONDS,
        "most": time_histogram.MOST_SECONDS,
        "buckets": time_histogram.BUCKETS,
        "phases": list(TERMINAL_PHASES),
    }
    return [
        RolledUp(row.at, row.phase, row.runs, _histogram(row.took), _histogram(row.waited))
        for row in connection.execute(_ENDED, values)
    ]


def failed(connection: Connection, *, project: str, since: datetime, until: datetime) -> list[FailureKind]:
    """The kinds of failures in a time, the most frequent first."""
    values = {
        "project": project,
        "since": since,
        "until": until,
        "characters": MESSAGE_CHARACTERS,
        "kinds": MOST_KINDS,
        "phases": list(FAILED_PHASES),
    }
    return [
        FailureKind(since, row.task, row.reason, row.message, row.runs, row.first_at, row.last_at, row.last_run)
        for row in connection.execute(_FAILED, values)
    ]


def _histogram(buckets: Iterable[int] | None) -> dict[str, int]:
    return dict(Counter(map(str, buckets or ())))


# What is kept


def floor(time: datetime, step: timedelta) -> datetime:
    """Where the bucket of a time begins."""
    return time - timedelta(seconds=time.timestamp() % step.total_seconds())


def hours_to_count(connection: Connection, *, project: str, since: datetime, until: datetime) -> list[datetime]:
    """The hours of a time in which runs ended, or of which something is kept, in their order."""
    found = connection.execute(_HOURS, {"project": project, "since": since, "until": until})
    return [hour for (hour,) in found]


def roll_up(connection: Connection, *, project: str, hour: datetime, now: datetime) -> None:
    """Count an hour again, as far as it has passed. What was kept of it is replaced."""
    until = min(hour + HOUR, now)
    for step in STEPS:
        connection.execute(
            delete(RunRollup).where(
                RunRollup.project == project,
                RunRollup.step == _seconds(step),
                RunRollup.at >= hour,
                RunRollup.at < hour + HOUR,
            )
        )
        found = ended(connection, project=project, since=hour, until=until, step=step)
        if found:
            rows = [
                {"project": project, "step": _seconds(step), **{name: getattr(row, name) for name in row.__slots__}}
                for row in found
            ]
            connection.execute(pg_insert(RunRollup), rows)
    connection.execute(delete(FailureRollup).where(FailureRollup.project == project, FailureRollup.at == hour))
    kinds = failed(connection, project=project, since=hour, until=until)
    if kinds:
        rows = [
            {"project": project, "digest": _digest(kind), **{name: getattr(kind, name) for name in kind.__slots__}}
            for kind in kinds
        ]
        connection.execute(pg_insert(FailureRollup), rows)


def _digest(kind: FailureKind) -> bytes:
    return hashlib.sha256("\0".join(part or "" for part in kind.key).encode()).digest()


def _seconds(step: timedelta) -> int:
    return round(step.total_seconds())


def mark(connection: Connection, *, project: str) -> datetime | None:
    """Until when a project's runs are counted; None where nothing is yet."""
    return connection.execute(
        select(RollupMark.counted_until).where(RollupMark.project == project)
    ).scalar_one_or_none()


def set_mark(connection: Connection, *, project: str, counted_until: datetime) -> None:
    statement = pg_insert(RollupMark).values(project=project, counted_until=counted_until)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[RollupMark.project], set_={"counted_until": statement.excluded.counted_until}
        )
    )


def kept(connection: Connection, *, project: str, since: datetime, until: datetime, step: timedelta) -> list[RolledUp]:
    """What is kept of a time, by bucket and phase."""
    wanted = select(RunRollup.at, RunRollup.phase, RunRollup.runs, RunRollup.took, RunRollup.waited).where(
        RunRollup.project == project,
        RunRollup.step == _seconds(step),
        RunRollup.at >= since,
        RunRollup.at < until,
    )
    return all_rows(RolledUp, connection.execute(wanted))


def kept_failures(connection: Connection, *, project: str, since: datetime, until: datetime) -> list[FailureKind]:
    """The kinds of failures that are kept of a time, by hour."""
    row = FailureRollup
    wanted = select(row.at, row.task, row.reason, row.message, row.runs, row.first_at, row.last_at, row.last_run).where(
        row.project == project, row.at >= since, row.at < until
    )
    return all_rows(FailureKind, connection.execute(wanted))


def forget_old(connection: Connection, *, quarters_before: datetime, hours_before: datetime) -> None:
    """Forget quarters, and hours, that no page asks for."""
    for step, before in ((QUARTER, quarters_before), (HOUR, hours_before)):
        connection.execute(delete(RunRollup).where(RunRollup.step == _seconds(step), RunRollup.at < before))
    connection.execute(delete(FailureRollup).where(FailureRollup.at < hours_before))


def forget_project(connection: Connection, project: str) -> None:
    """Drop all counts of a project whose runs have moved. The mirror counts it again."""
    for table in (RunRollup, FailureRollup, RollupMark):
        connection.execute(delete(table).where(table.project == project))
