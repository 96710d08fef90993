"""Counts of runs that have ended: made of the runs of some hours, and read for a page.

What is kept counts the runs that ended before a project's mark. What ended since is counted for a page at once, with the same statements.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson
from sqlalchemy import Connection, Text, cast, delete, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared import time_histogram
from tidegate_web.shared.phases import FAILED_PHASES, TERMINAL_PHASES
from tidegate_web.store.models import FailureRollup, RollupMark, RunRollup
from tidegate_web.store.rows import all_rows

QUARTER: Final = timedelta(minutes=15)
HOUR: Final = timedelta(hours=1)
SIX_HOURS: Final = timedelta(hours=6)
COUNTED_STEPS: Final = (QUARTER, HOUR)
"""Of what is counted from the runs. Six hours are added up from hours, once they are over."""
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


@dataclass(frozen=True, slots=True)
class KeptFailures:
    """Failures that are alike, of a longer time."""

    task: str | None
    reason: str | None
    message: str
    runs: int
    first_at: datetime
    last_at: datetime
    last_run: str
    parts: dict[str, int]
    """How many are in each part of the time in which there are any."""

    @property
    def key(self) -> tuple[str | None, str | None, str]:
        """What they have in common."""
        return self.task, self.reason, self.message


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A time, and into how many parts it is divided."""

    begin: datetime
    end: datetime
    number: int


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
    """Count an hour again, as far as it has passed. What was kept of it is replaced, and no longer holds for its six hours."""
    until = min(hour + HOUR, now)
    _forget(connection, project=project, step=SIX_HOURS, at=floor(hour, SIX_HOURS))
    for step in COUNTED_STEPS:
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


def _forget(connection: Connection, *, project: str, step: timedelta, at: datetime) -> None:
    connection.execute(
        delete(RunRollup).where(RunRollup.project == project, RunRollup.step == _seconds(step), RunRollup.at == at)
    )


_TO_ADD_UP = text(
    """
SELECT DISTINCT date_bin('6 hours', at, 'epoch') AS at FROM run_rollups hours
WHERE project = :project AND step = 3600 AND at >= :since AND at < :until AND (:again OR NOT EXISTS (
  SELECT FROM run_rollups added WHERE added.project = :project AND added.step = 21600
    AND added.at = date_bin('6 hours', hours.at, 'epoch')))
ORDER BY 1
"""
)


def to_add_up(
    connection: Connection, *, project: str, since: datetime, until: datetime, again: bool = False
) -> list[datetime]:
    """Six hours that are over and not added up yet. ``again``: all of them."""
    values = {"project": project, "since": since, "until": floor(until, SIX_HOURS), "again": again}
    return [at for (at,) in connection.execute(_TO_ADD_UP, values)]


def add_up(connection: Connection, *, project: str, at: datetime) -> None:
    """Add up the hours of six. What was kept of them is replaced."""
    _forget(connection, project=project, step=SIX_HOURS, at=at)
    found: dict[str, list[RolledUp]] = {}
    for row in kept(connection, project=project, since=at, until=at + SIX_HOURS, step=HOUR):
        found.setdefault(row.phase, []).append(row)
    rows = [
        {
            "project": project,
            "step": _seconds(SIX_HOURS),
            "at": at,
            "phase": phase,
            "runs": sum(each.runs for each in hours),
            "took": time_histogram.total(each.took for each in hours),
            "waited": time_histogram.total(each.waited for each in hours),
        }
        for phase, hours in found.items()
    ]
    if rows:
        connection.execute(pg_insert(RunRollup), rows)


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


_KEPT_SIX_HOURS = text(
    """
SELECT at, phase, runs, CAST(took AS text), CAST(waited AS text) FROM run_rollups
WHERE project = :project AND step = 21600 AND at >= :since AND at < :until
UNION ALL
SELECT at, phase, runs, CAST(took AS text), CAST(waited AS text) FROM run_rollups hours
WHERE project = :project AND step = 3600 AND at >= :since AND at < :until AND NOT EXISTS (
  SELECT FROM run_rollups added
  WHERE added.project = :project AND added.step = 21600 AND added.at = date_bin('6 hours', hours.at, 'epoch'))
"""
)


def kept(connection: Connection, *, project: str, since: datetime, until: datetime, step: timedelta) -> list[RolledUp]:
    """What is kept of a time, by bucket and phase. Six hours that are not added up yet come as hours."""
    if step == SIX_HOURS:
        values = {"project": project, "since": since, "until": until}
        return all_rows(_parsed, connection.execute(_KEPT_SIX_HOURS, values))
    wanted = select(
        RunRollup.at, RunRollup.phase, RunRollup.runs, cast(RunRollup.took, Text), cast(RunRollup.waited, Text)
    ).where(
        RunRollup.project == project,
        RunRollup.step == _seconds(step),
        RunRollup.at >= since,
        RunRollup.at < until,
    )
    return all_rows(_parsed, connection.execute(wanted))


def _parsed(at: datetime, phase: str, runs: int, took: str, waited: str) -> RolledUp:
    # A page reads a thousand histograms: the driver's own way to parse them took a fifth of its time.
    return RolledUp(at, phase, runs, orjson.loads(took), orjson.loads(waited))


_KEPT_FAILURES = text(
    """
WITH found AS (
  SELECT digest, at, runs, first_at,
    least(greatest(width_bucket(extract(epoch FROM last_at), :begin, :end, :parts), 1), :parts) - 1 AS part
  FROM failure_rollups WHERE project = :project AND at >= :since AND at < :until
), kinds AS (
  SELECT digest, sum(runs) AS runs, min(first_at) AS first_at, max(at) AS last_hour FROM found GROUP BY digest
), chosen AS (
  (SELECT * FROM kinds ORDER BY runs DESC, digest LIMIT :kinds) UNION SELECT * FROM kinds WHERE digest = ANY(:besides)
), parts AS (
  SELECT digest, jsonb_object_agg(part, runs) AS parts
  FROM (SELECT digest, part, sum(found.runs) AS runs FROM found JOIN chosen USING (digest) GROUP BY digest, part) AS each
  GROUP BY digest
)
SELECT last.task, last.reason, last.message, CAST(chosen.runs AS integer) AS runs, chosen.first_at, last.last_at, last.last_run,
  parts.parts
FROM chosen JOIN parts USING (digest)
JOIN failure_rollups last ON last.project = :project AND last.at = chosen.last_hour AND last.digest = chosen.digest
"""
)


def kept_failures(
    connection: Connection,
    *,
    project: str,
    since: datetime,
    until: datetime,
    parts: Parts,
    most: int,
    besides: Iterable[FailureKind],
) -> list[KeptFailures]:
    """The ``most`` most frequent kinds of failures that are kept of a time, and those of ``besides`` that are kept of it."""
    values = {
        "project": project,
        "since": since,
        "until": until,
        "begin": parts.begin.timestamp(),
        "end": parts.end.timestamp(),
        "parts": parts.number,
        "kinds": most,
        "besides": [_digest(kind) for kind in besides],
    }
    return all_rows(KeptFailures, connection.execute(_KEPT_FAILURES, values))


def forget_old(connection: Connection, *, quarters_before: datetime, hours_before: datetime) -> None:
    """Forget quarters, and hours, that no page asks for."""
    for step, before in ((QUARTER, quarters_before), (HOUR, hours_before), (SIX_HOURS, hours_before)):
        connection.execute(delete(RunRollup).where(RunRollup.step == _seconds(step), RunRollup.at < before))
    connection.execute(delete(FailureRollup).where(FailureRollup.at < hours_before))


def forget_project(connection: Connection, project: str) -> None:
    """Drop all counts of a project whose runs have moved. The mirror counts it again."""
    for table in (RunRollup, FailureRollup, RollupMark):
        connection.execute(delete(table).where(table.project == project))
