"""How the last runs of a task ended, and how long they took."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tidegate_web.pages.run_history import run_history

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def row(phase: str, seconds: float | None, reason: str | None = None) -> Any:
    ended = None if seconds is None else NOON + timedelta(seconds=seconds)
    return SimpleNamespace(phase=phase, reason=reason, started_at=NOON, finished_at=ended)


def test_bars_are_shares_of_the_longest() -> None:
    found = run_history([row("Succeeded", 10), row("Running", None), row("Failed", 40), row("Succeeded", -3)])
    assert [one.share for one in found.runs] == [25, 0, 100, 0]
    assert [one.seconds for one in found.runs] == [10, None, 40, 0]
    assert (found.succeeded, found.failed, found.ended, found.median_seconds) == (2, 1, 3, 10)


def test_the_success_rate_is_of_those_that_succeeded_or_failed() -> None:
    phases = ["Succeeded"] * 3 + ["Failed", "Cancelled", "Skipped", "Running"]
    assert run_history([row(phase, 1) for phase in phases]).success_rate == 0.75
    assert run_history([row("Cancelled", 1)]).success_rate is None


def test_one_run_in_twenty_may_take_longer_than_the_95th_percentile() -> None:
    found = run_history([row("Succeeded", seconds) for seconds in range(20, 0, -1)])
    assert (found.median_seconds, found.p95_seconds) == (10.5, 19)


def test_failures_are_counted_by_reason() -> None:
    rows = [row("Failed", 1, "Error"), row("Expired", None), row("Failed", 1, "Error"), row("Failed", 1, "OOMKilled")]
    assert run_history([*rows, row("Succeeded", 1, "Error")]).reasons == [
        ("Error", 2),
        ("Expired", 1),
        ("OOMKilled", 1),
    ]


def test_without_durations_there_are_no_percentiles() -> None:
    found = run_history([row("Pending", None)])
    assert (found.median_seconds, found.p95_seconds, found.runs[0].share) == (None, None, 0)
    assert run_history([]).runs == []
