"""Counts over time and batches: what they say of runs that are there, and what they refuse to count."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.callers import SignedIn
from support.web import Parts
from tidegate_web.store import partitions
from tidegate_web.store.queries.stats import MOST_BUCKETS, STEPS, Window

T0 = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DAY = "from=2026-05-01T12:00:00Z&to=2026-05-01T14:00:00Z"


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def run(
    parts: Parts, *, at: int, phase: str = "Succeeded", waited: float = 1, took: float | None = 10, **columns: Any
) -> None:
    """A row of the archive: created so many minutes after T0."""
    created = T0 + timedelta(minutes=at)
    started = None if took is None else created + timedelta(seconds=waited)
    finished = created if started is None or took is None else started + timedelta(seconds=took)
    values = {
        "project": parts.project, "phase": phase, "created": created, "queued_at": created, "started_at": started,
        "finished_at": None if phase == "Running" else finished, "task": None, "queue": None, "batch": None,
    } | columns  # fmt: skip
    with parts.engine.begin() as connection:
        partitions.ensure(connection, [created])
        connection.execute(
            text(
                "INSERT INTO runs (uid, name, resource_version, attempt, tags, labels, spec, status, project, phase, "
                "created, queued_at, started_at, finished_at, task, queue, batch) VALUES (gen_random_uuid(), 'r', 1, 1, "
                "'{}', '{}', '{}', '{}', :project, :phase, :created, :queued_at, :started_at, :finished_at, :task, "
                ":queue, :batch)"
            ),
            values,
        )


def test_counts_and_durations_by_bucket(parts: Parts, me: SignedIn) -> None:
    for took in range(1, 101):
        run(parts, at=0, took=took, waited=2)
    run(parts, at=61, phase="Failed", took=5, waited=4)
    run(parts, at=62, phase="Cancelled", took=None)
    run(parts, at=63, phase="Running", took=5)
    run(parts, at=-1, took=5, waited=0)  # created and ended before the time
    reported: Any = me.get(f"stats?{DAY}").json
    assert (reported["bucketSeconds"], len(reported["items"])) == (60, 120)
    assert reported["created"] == 103
    assert reported["phases"] == {"Succeeded": 100, "Failed": 1, "Cancelled": 1}
    assert reported["items"][0]["at"] == "2026-05-01T12:00:00.000Z"
    assert reported["items"][0]["created"] == 100
    # Each counts where it ended.
    assert sum(item["phases"].get("Succeeded", 0) for item in reported["items"][:2]) == 100
    failed = reported["items"][61]
    assert failed["phases"] == {"Failed": 1}
    assert failed["durationSeconds"] == {"p50": 5, "p95": 5}
    assert failed["waitSeconds"] == {"p50": 4, "p95": 4}
    assert reported["items"][62] == {
        "at": "2026-05-01T13:02:00.000Z",
        "created": 1,
        "phases": {"Cancelled": 1},
        "durationSeconds": None,
        "waitSeconds": None,
    }
    assert reported["durationSeconds"]["p50"] == 50
    assert reported["durationSeconds"]["p95"] == 95


def test_counts_of_one_task_or_queue(parts: Parts, me: SignedIn) -> None:
    run(parts, at=1, task="a", queue="q")
    run(parts, at=1, task="b", queue="q")
    for query, number in (("task=a", 1), ("queue=q", 2), ("task=a&queue=other", 0), ("", 2)):
        reported: Any = me.get(f"stats?{DAY}&{query}").json
        assert reported["created"] == number, query


def test_without_runs_all_is_empty_and_the_last_day_is_meant(me: SignedIn) -> None:
    reported: Any = me.get("stats").json
    assert (reported["created"], reported["phases"], reported["durationSeconds"]) == (0, {}, None)
    assert reported["bucketSeconds"] == 900
    assert 96 <= len(reported["items"]) <= 98


@pytest.mark.parametrize("hours", [1, 2, 3, 24, 48, 24 * 7, 24 * 30, 24 * 400])
def test_a_time_of_any_length_has_buckets_that_can_be_shown(hours: int) -> None:
    window = Window(project="p", since=T0 + timedelta(seconds=7), until=T0 + timedelta(hours=hours, seconds=7))
    buckets = window.buckets
    assert 8 <= len(buckets) <= MOST_BUCKETS + 1
    assert window.step in STEPS
    assert buckets[0] <= window.since < buckets[1]
    assert buckets[-1] < window.until <= buckets[-1] + timedelta(seconds=window.step)


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-05-02T00:00:00Z&to=2026-05-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "to=0001-01-01T00:00:00Z",
        "task=%00",
    ],
)
def test_times_that_are_none(shared_me: SignedIn, query: str) -> None:
    assert shared_me.get(f"stats?{query}").status_code == 422
    assert shared_me.get(f"batches?{query}").status_code == 422


def test_batches_with_their_phases_first_and_last(parts: Parts, me: SignedIn) -> None:
    for number, phase in enumerate(["Succeeded", "Succeeded", "Failed", "Running"]):
        run(parts, at=number, phase=phase, batch="first")
    run(parts, at=2, batch="second")
    run(parts, at=2)
    reported: Any = me.get(f"batches?{DAY}").json
    assert reported == {
        "items": [
            {
                "batch": "first",
                "total": 4,
                "phases": {"Succeeded": 2, "Failed": 1, "Running": 1},
                "firstCreatedAt": "2026-05-01T12:00:00.000Z",
                "lastCreatedAt": "2026-05-01T12:03:00.000Z",
            },
            {
                "batch": "second",
                "total": 1,
                "phases": {"Succeeded": 1},
                "firstCreatedAt": "2026-05-01T12:02:00.000Z",
                "lastCreatedAt": "2026-05-01T12:02:00.000Z",
            },
        ],
        "after": None,
    }


def test_pages_of_batches_meet(parts: Parts, me: SignedIn) -> None:
    for number in range(7):
        run(parts, at=number // 2, batch=f"b{number}")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page: Any = me.get(f"batches?{DAY}&limit=2&after={after}").json
        seen += [item["batch"] for item in page["items"]]
        after = page["after"]
    assert seen == ["b6", "b5", "b4", "b3", "b2", "b1", "b0"]


@pytest.mark.parametrize("after", ["nonsense", "%00", "WyJ4IiwgInkiXQ", "e30", "\u00e9"])
def test_bad_cursors_of_batches(shared_me: SignedIn, after: str) -> None:
    assert shared_me.get(f"batches?after={after}").status_code == 422


def test_what_takes_too_long_to_count_is_refused(parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_web.store.queries.stats.SECONDS", 0.001)
    with parts.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO runs (uid, name, resource_version, attempt, tags, labels, spec, status, project, phase, "
                "created) SELECT gen_random_uuid(), 'r', 1, 1, '{}', '{}', '{}', '{}', :project, 'Failed', now() "
                "FROM generate_series(1, 20000)"
            ),
            {"project": parts.project},
        )
    answer = me.get("stats")
    assert answer.status_code == 422
    assert answer.json is not None
    assert "Narrow" in answer.json["detail"]
