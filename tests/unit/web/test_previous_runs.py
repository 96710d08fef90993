"""Durations of the runs before a run."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tidegate_web.pages.previous import previous_runs

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def row(phase: str, seconds: float | None) -> Any:
    ended = None if seconds is None else NOON + timedelta(seconds=seconds)
    return SimpleNamespace(phase=phase, started_at=NOON, finished_at=ended)


def test_bars_are_shares_of_the_longest() -> None:
    found = previous_runs([row("Succeeded", 10), row("Running", None), row("Failed", 40), row("Succeeded", -3)])
    assert [one.share for one in found.runs] == [25, 0, 100, 0]
    assert [one.seconds for one in found.runs] == [10, None, 40, 0]
    assert (found.succeeded, found.median_seconds) == (2, 10)


def test_without_durations_there_is_no_median() -> None:
    found = previous_runs([row("Pending", None)])
    assert (found.median_seconds, found.runs[0].share) == (None, 0)
    assert previous_runs([]).runs == []
