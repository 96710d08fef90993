"""How a project fares over a time: what ended and how, how long it took and had waited, and which failures are alike.

What is kept is read (``store/queries/rollups.py``); only the time since the last count is counted in the runs themselves.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from tidegate_web.services import Services
from tidegate_web.shared import time_histogram
from tidegate_web.shared.phases import FAILED_PHASES
from tidegate_web.shared.time_histogram import Histogram
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import rollups, run_list, stats
from tidegate_web.store.queries.rollups import HOUR, QUARTER, SIX_HOURS, FailureKind, KeptFailures, RolledUp
from tidegate_web.store.queries.stats import TooMuchError

MINUTE: Final = timedelta(minutes=1)
GROUPS: Final = 10
SPARKS: Final = 24
"""Parts of the time in which a group's failures are counted each."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A time up to now, and the parts that it is shown in."""

    name: str
    words: str
    length: timedelta
    step: timedelta
    kept: timedelta | None
    """The step of what is kept for it; None where the runs are few enough to be counted."""


RANGES: Final = {
    made.name: made
    for made in (
        Range(name="1h", words="1 hour", length=HOUR, step=MINUTE, kept=None),
        Range(name="6h", words="6 hours", length=6 * HOUR, step=QUARTER, kept=QUARTER),
        Range(name="24h", words="24 hours", length=24 * HOUR, step=QUARTER, kept=QUARTER),
        Range(name="7d", words="7 days", length=timedelta(days=7), step=2 * HOUR, kept=HOUR),
        Range(name="30d", words="30 days", length=timedelta(days=30), step=SIX_HOURS, kept=SIX_HOURS),
    )
}
DEFAULT_RANGE: Final = "24h"


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds; None where nothing was measured."""

    p50: float | None
    p95: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> "Times":
        return cls(p50=time_histogram.quantile(histogram, 0.5), p95=time_histogram.quantile(histogram, 0.95))


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A part of the time."""

    at: datetime
    phases: dict[str, int]
    took: Times
    waited: Times


@dataclass(kw_only=True)
class FailureGroup:
    """Failures that are alike."""

    task: str | None
    reason: str | None
    message: str
    runs: int = 0
    first_at: datetime
    last_at: datetime
    last_run: str
    sparks: list[int] = field(default_factory=lambda: [0] * SPARKS)

    def add(self, kind: FailureKind, *, part: int) -> None:
        """Some more of them."""
        self.runs += kind.runs
        self.sparks[part] += kind.runs
        self.first_at = min(self.first_at, kind.first_at)
        if kind.last_at >= self.last_at:
            self.last_at, self.last_run = kind.last_at, kind.last_run


@dataclass(frozen=True, kw_only=True)
class ProjectOverview:
    """All of it."""

    range: Range
    since: datetime
    until: datetime
    """Later than that nothing is counted."""
    truncated: bool
    """Whether that is earlier than now, as there was too much to count."""
    buckets: list[Bucket]
    phases: dict[str, int]
    took: Times
    waited: Times
    failures: list[FailureGroup]
    active: dict[str, int]

    @property
    def success_rate(self) -> float | None:
        """Of the runs that succeeded or failed; None where there were none."""
        good = self.phases.get("Succeeded", 0)
        judged = good + sum(self.phases.get(phase, 0) for phase in FAILED_PHASES)
        return good / judged if judged else None


def project_overview(made: Services, project: str, range_: Range) -> ProjectOverview | None:
    """How the project fares; None while Postgres is away."""
    return with_fallback(lambda: _counted(made, project, range_), lambda: None)


def _counted(made: Services, project: str, range_: Range) -> ProjectOverview:
    now = made.clock.now()
    since = rollups.floor(now - range_.length, range_.step)
    # One picture of all: what is counted anew meanwhile would be counted twice.
    with made.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        active = run_list.active(connection, project=project)
        read = _read(connection, project, range_, since=since, now=now)
    parts = _parts(read.rows, range_, since=since, now=now)
    return ProjectOverview(
        range=range_,
        since=since,
        until=read.until,
        truncated=read.until < now,
        buckets=[each.bucket for each in parts],
        phases=_phases(read.rows),
        took=Times.of(time_histogram.total(each.took for each in parts)),
        waited=Times.of(time_histogram.total(each.waited for each in parts)),
        failures=group(read.kept, read.fresh, since=since, until=now),
        active=active,
    )


@dataclass(kw_only=True)
class _Read:
    """What Postgres has of a time, kept and counted now."""

    until: datetime
    rows: list[RolledUp] = field(default_factory=list)
    fresh: list[FailureKind] = field(default_factory=list)
    kept: list[KeptFailures] = field(default_factory=list)


def _read(connection: Connection, project: str, range_: Range, *, since: datetime, now: datetime) -> _Read:
    failures_since = since if range_.kept is None else rollups.floor(since, HOUR)  # they are kept by the hour
    mark = None if range_.kept is None else rollups.mark(connection, project=project)
    found = _Read(until=now)
    try:
        with stats.bounded(connection):
            begin, step = max(since, mark or since), range_.kept or range_.step
            found.rows = rollups.ended(connection, project=project, since=begin, until=now, step=step)
            begin = max(failures_since, mark or failures_since)
            found.fresh = rollups.failed(connection, project=project, since=begin, until=now)
    except TooMuchError:
        found = _Read(until=max(since, mark or since))
    if mark is not None and range_.kept is not None:
        found.rows += rollups.kept(connection, project=project, since=since, until=mark, step=range_.kept)
        # Of the kept ones those that are shown; and those that have failed since, as they may belong to these.
        found.kept = rollups.kept_failures(
            connection,
            project=project,
            since=failures_since,
            until=mark,
            parts=rollups.Parts(begin=since, end=now, number=SPARKS),
            most=GROUPS,
            besides=found.fresh,
        )
    return found


def _phases(rows: Iterable[RolledUp]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row.phase] += row.runs
    return dict(found)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A bucket, and the histograms of all of it."""

    bucket: Bucket
    took: Histogram
    waited: Histogram


def _parts(rows: Iterable[RolledUp], range_: Range, *, since: datetime, now: datetime) -> list[_Part]:
    by_bucket: dict[datetime, list[RolledUp]] = defaultdict(list)
    for row in rows:
        by_bucket[rollups.floor(row.at, range_.step)].append(row)
    found, at = [], since
    while at <= now:
        there = by_bucket.get(at, [])
        took = time_histogram.total(row.took for row in there)
        waited = time_histogram.total(row.waited for row in there)
        bucket = Bucket(at=at, phases=_phases(there), took=Times.of(took), waited=Times.of(waited))
        found.append(_Part(bucket=bucket, took=took, waited=waited))
        at += range_.step
    return found


def group(
    kept: Iterable[KeptFailures], fresh: Iterable[FailureKind], *, since: datetime, until: datetime
) -> list[FailureGroup]:
    """The most frequent failures that are alike, of what is kept and of what was counted just now."""
    groups: dict[tuple[str | None, str | None, str], FailureGroup] = {}
    for known in kept:
        groups[known.key] = FailureGroup(
            task=known.task,
            reason=known.reason,
            message=known.message,
            runs=known.runs,
            first_at=known.first_at,
            last_at=known.last_at,
            last_run=known.last_run,
            sparks=[known.parts.get(str(part), 0) for part in range(SPARKS)],
        )
    for kind in fresh:
        if kind.key not in groups:
            groups[kind.key] = FailureGroup(
                task=kind.task,
                reason=kind.reason,
                message=kind.message,
                first_at=kind.first_at,
                last_at=kind.last_at,
                last_run=kind.last_run,
            )
        part = (kind.last_at - since) / (until - since) * SPARKS
        groups[kind.key].add(kind, part=min(max(int(part), 0), SPARKS - 1))
    return sorted(groups.values(), key=lambda each: (-each.runs, each.last_run))[:GROUPS]
