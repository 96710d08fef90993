"""The runs of a task before one of its runs, with their durations to scale: whether this time is as it always is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tidegate_web.store.run_rows import RunSummaryRow


@dataclass(frozen=True, kw_only=True)
class PreviousRun:
    """One of them; ``share`` is its duration in hundredths of the longest."""

    run: RunSummaryRow
    seconds: float | None
    share: float


@dataclass(frozen=True, kw_only=True)
class PreviousRuns:
    """All that are shown, newest first."""

    runs: list[PreviousRun]
    succeeded: int
    median_seconds: float | None


def previous_runs(rows: Sequence[RunSummaryRow]) -> PreviousRuns:
    """A run that hasn't ended, or never began, has no duration."""
    durations = [_seconds(row) for row in rows]
    known = [seconds for seconds in durations if seconds is not None]
    longest = max(known, default=0)
    return PreviousRuns(
        runs=[
            PreviousRun(run=row, seconds=seconds, share=round(100 * seconds / longest, 1) if seconds and longest else 0)
            for row, seconds in zip(rows, durations, strict=True)
        ],
        succeeded=sum(row.phase == "Succeeded" for row in rows),
        median_seconds=median(known) if known else None,
    )


def _seconds(row: RunSummaryRow) -> float | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return max(0.0, (row.finished_at - row.started_at).total_seconds())
