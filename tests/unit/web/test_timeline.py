"""A run's time to scale, from the times that its status and its rows have."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_web.pages.timeline import MOST_CHILDREN, TICKS, Timeline, Window, offset, timeline, window_of
from tidegate_web.runs.run_tree import Child, RunTree
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import rfc3339

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
NOW = NOON + timedelta(seconds=100)


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOON + timedelta(seconds=seconds)


def a_run(phase: str = "Succeeded", *, created: float = 0, queued: float | None = 0, **seconds: float) -> Any:
    return SimpleNamespace(
        uid=f"uid-{created}",
        name=f"run-{created}",
        phase=phase,
        created=at(created),
        queued_at=at(queued),
        started_at=at(seconds.get("started")),
        finished_at=at(seconds.get("finished")),
    )


def an_attempt(number: int = 1, *, outcome: str | None = None, **seconds: float) -> dict[str, object]:
    times: dict[str, object] = {name: rfc3339(NOON + timedelta(seconds=value)) for name, value in seconds.items()}
    return {"number": number, **times, **({"outcome": outcome} if outcome else {})}


def drawn(run: Any, *attempts: dict[str, object], **options: Any) -> Timeline:
    children = options.pop("children", [])
    tree = RunTree(children=[Child(run=child) for child in children])
    return timeline(run, attempts, tree, now=NOW, **options)


def spans(line: Timeline) -> dict[str, list[tuple[str, float, float]]]:
    return {row.label: [(span.name, span.begin, span.end) for span in row.spans] for row in line.rows}


def going_on(line: Timeline) -> list[str]:
    return [span.name for row in line.rows for span in row.spans if span.ongoing]


def test_a_run_waits_is_scheduled_started_and_runs() -> None:
    attempt = an_attempt(outcome="Succeeded", createdAt=20, scheduledAt=22, startedAt=27, finishedAt=57)
    line = drawn(a_run(queued=5, started=27, finished=57), attempt)
    assert spans(line) == {
        "Waiting": [("Not queued yet", 0, 5), ("Queued", 5, 20)],
        "Attempt 1": [("Scheduling", 20, 22), ("Pulling and starting", 22, 27), ("Succeeded", 27, 57)],
    }
    assert (line.ongoing, line.whole, line.window) == (False, Window(begin=0, end=57), line.whole)


def test_back_off_is_before_the_attempt_that_it_delays() -> None:
    first = an_attempt(outcome="Failed", createdAt=1, startedAt=2, finishedAt=10)
    second = an_attempt(2, outcome="Succeeded", createdAt=40, startedAt=42, finishedAt=50)
    line = drawn(a_run(queued=38, finished=50), first, second)
    assert spans(line) == {
        "Waiting": [("Queued", 0, 1)],  # when it was queued for its first attempt is not kept
        "Attempt 1": [("Scheduling", 1, 2), ("Failed", 2, 10)],
        "Attempt 2": [("Back-off and waiting", 10, 40), ("Scheduling", 40, 42), ("Succeeded", 42, 50)],
    }


def test_what_goes_on_ends_now() -> None:
    line = drawn(a_run("Running", started=30), an_attempt(createdAt=20, scheduledAt=21, startedAt=30))
    assert spans(line)["Attempt 1"][-1] == ("Running", 30, 100)
    assert going_on(line) == ["Running"]
    waiting = drawn(a_run("Pending", queued=None))
    assert spans(waiting) == {"Waiting": [("Not queued yet", 0, 100)]}
    assert going_on(drawn(a_run("Pending", queued=40))) == ["Queued"]
    assert going_on(drawn(a_run("Starting"), an_attempt(createdAt=20))) == ["Scheduling"]
    assert going_on(drawn(a_run("Starting"), an_attempt(createdAt=20, scheduledAt=22))) == ["Pulling and starting"]


def test_a_run_between_two_attempts_waits_for_the_next() -> None:
    line = drawn(a_run("Retrying"), an_attempt(outcome="Failed", startedAt=10, finishedAt=20))
    assert spans(line)["Next attempt"] == [("Back-off and waiting", 20, 100)]


def test_an_attempt_that_never_started_shows_where_it_ended() -> None:
    line = drawn(a_run("Failed", finished=60), an_attempt(outcome="Failed", createdAt=10, finishedAt=60))
    assert spans(line)["Attempt 1"] == [("Scheduling", 10, 60), ("Failed", 60, 60)]
    assert line.window.shows(line.rows[-1].spans[-1])
    cut_off = drawn(a_run("Cancelled", finished=60), an_attempt(createdAt=10, startedAt=20))
    assert spans(cut_off)["Attempt 1"][-1] == ("Cancelled", 20, 60)


def test_an_attempt_in_a_pool_starts_when_it_is_handed_over() -> None:
    line = drawn(a_run(finished=12), an_attempt(outcome="Succeeded", startedAt=10, finishedAt=12))
    assert spans(line) == {"Waiting": [("Queued", 0, 10)], "Attempt 1": [("Succeeded", 10, 12)]}


def test_runs_that_it_started_have_rows_of_their_own_and_may_outlive_it() -> None:
    children = [a_run("Running", created=30, started=35), a_run(created=20, started=22, finished=25)]
    attempt = an_attempt(outcome="Succeeded", startedAt=10, finishedAt=50)
    line = drawn(a_run(finished=50), attempt, children=children)
    assert [row.run for row in line.rows[2:]] == ["uid-20", "uid-30"]
    assert spans(line)["run-20"] == [("Queued", 20, 22), ("Succeeded", 22, 25)]
    assert spans(line)["run-30"] == [("Queued", 30, 35), ("Running", 35, 100)]
    assert (line.whole.end, line.ongoing, line.children_left_out) == (100, True, 0)
    many = drawn(a_run(finished=50), children=[a_run(created=n, finished=n + 1) for n in range(MOST_CHILDREN + 7)])
    assert many.children_left_out == 7


def test_a_window_is_cut_to_what_there_is() -> None:
    def shown(*window: float) -> Window:
        return drawn(a_run(finished=50), shown=window).window

    assert shown(10, 20) == Window(begin=10, end=20)
    assert shown(-5, 20) == Window(begin=0, end=20)
    assert shown(40, math.inf) == Window(begin=40, end=50)
    whole = Window(begin=0, end=50)
    assert [shown(20, 10), shown(60, 70), shown(-9, -1)] == [whole] * 3
    line = drawn(a_run(finished=50), shown=(10, 20))
    assert line.within(line.window.moved(-0.5)) == Window(begin=5, end=15)
    assert line.within(line.window.moved(9)) == Window(begin=40, end=50)
    assert line.within(line.window.zoomed(0.5)) == Window(begin=12.5, end=17.5)
    assert line.within(line.window.zoomed(99)) == whole


def test_marks_are_round_and_few() -> None:
    assert drawn(a_run(finished=50)).ticks == [0, 10, 20, 30, 40, 50]
    assert drawn(a_run(finished=50), shown=(1.1, 1.35)).ticks == [1.1, 1.15, 1.2, 1.25, 1.3, 1.35]
    assert [offset(1.15), offset(0.0), offset(30.0), offset(90.0)] == ["1.15 s", "0", "30 s", "1 m 30 s"]


@given(st.floats(min_value=0.001, max_value=2e11), st.floats(min_value=0, max_value=0.5))
def test_a_window_of_any_length_has_no_more_marks_than_fit(length: float, place: float) -> None:
    line = drawn(a_run(finished=length), shown=(length * place, length))
    assert len(line.ticks) <= TICKS + 1


moments = st.none() | st.floats(min_value=-200, max_value=400)


@given(
    st.lists(st.tuples(moments, moments, moments, moments, st.sampled_from([None, "Failed", "Succeeded"])), max_size=4),
    moments,
    moments,
)
def test_whatever_the_times_are_spans_follow_each_other_within_the_run(
    given_attempts: list[Any], queued: float | None, finished: float | None
) -> None:
    names = ("createdAt", "scheduledAt", "startedAt", "finishedAt")
    attempts = [
        an_attempt(number, outcome=outcome, **{n: v for n, v in zip(names, times, strict=True) if v is not None})
        for number, (*times, outcome) in enumerate(given_attempts, start=1)
    ]
    run = a_run("Failed" if finished is not None else "Running", queued=queued)
    run.finished_at = at(finished)
    line = drawn(run, *attempts)
    own = [span for row in line.rows for span in row.spans]
    assert own
    assert all(0 <= span.begin <= span.end <= line.whole.end for span in own)
    assert all(before.end <= after.begin for before, after in pairwise(own))
    assert all(0 <= line.window.at(span.begin) + line.window.width(span) <= 100.01 for span in own)


@pytest.mark.parametrize("given_window", [{"from": "x"}, {"to": "nan"}, {"from": ""}])
def test_a_window_that_is_no_number_is_refused(given_window: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        window_of(given_window)
    assert refused.value.status == 422
    assert (window_of({}), window_of({"from": "3"}), window_of({"to": "4"})) == (None, (3, math.inf), (0, 4))
