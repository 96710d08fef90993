"""The last runs of a task, a queue or a schedule, with their durations to scale: how they usually end, and how long they take. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

from tidegate_web.shared.phases import FAILED_PHASES, TERMINAL_PHASES
from tidegate_web.store.run_rows import RunSummaryRow


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One of them; ``share`` is its duration in hundredths of the longest."""

    run: RunSummaryRow
    seconds: float | None
    share: float


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """All that are shown, newest first."""

    runs: list[PastRun]
    ended: int
    succeeded: int
    failed: int
    median_seconds: float | None
    p95_seconds: float | None
    reasons: list[tuple[str, int]]
    """Why runs failed, the most frequent first."""

    @property
    def success_rate(self) -> float | None:
        """Of the runs that succeeded or failed; None without any."""
        judged = self.succeeded + self.failed
        return self.succeeded / judged if judged else None


def run_history(rows: Sequence[RunSummaryRow]) -> RunHistory:
    """A run that hasn't ended, or never began, has no duration."""
    durations = [_seconds(row) for row in rows]
    known = sorted(seconds for seconds in durations if seconds is not None)
    longest = known[-1] if known else 0
    failed = [row for row in rows if row.phase in FAILED_PHASES]
    return RunHistory(
        runs=[
            PastRun(run=row, seconds=seconds, share=round(100 * seconds / longest, 1) if seconds and longest else 0)
            for row, seconds in zip(rows, durations, strict=True)
        ],
        ended=sum(row.phase in TERMINAL_PHASES for row in rows),
        succeeded=sum(row.phase == "Succeeded" for row in rows),
        failed=len(failed),
        median_seconds=median(known) if known else None,
        p95_seconds=known[ceil(0.95 * len(known)) - 1] if known else None,
        reasons=Counter(row.reason or row.phase for row in failed).most_common(),
    )


def _seconds(row: RunSummaryRow) -> float | None:
    if row.started_at is None or row.finished_at is None:
        return None
    return max(0.0, (row.finished_at - row.started_at).total_seconds())
