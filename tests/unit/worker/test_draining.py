"""The steps of a worker that goes."""

from tidegate.worker.draining import LINGER_SECONDS, WRITTEN_SECONDS, Draining, Phase


def step(
    draining: Draining,
    now: float,
    *,
    busy: int = 0,
    unwritten: int = 0,
    connected_since: float | None = 0.0,
    log_pending: bool = False,
) -> Phase:
    return draining.advance(
        now, busy=busy, unwritten=unwritten, connected_since=connected_since, log_pending=log_pending
    )


def test_nothing_to_do_is_over_at_once() -> None:
    assert step(Draining(began=100, drain_seconds=60), 100) is Phase.OVER


def test_runs_have_the_drain_time() -> None:
    draining = Draining(began=100, drain_seconds=60)
    assert (step(draining, 159, busy=2), draining.next_look()) == (Phase.RUNS, 160)
    assert step(draining, 160, busy=1) is Phase.STOPPING
    assert step(draining, 170) is Phase.OVER


def test_outcomes_are_waited_for_with_a_connection() -> None:
    draining = Draining(began=100, drain_seconds=60)
    assert step(draining, 110, unwritten=1) is Phase.OUTCOMES
    assert draining.next_look() == 110 + WRITTEN_SECONDS
    assert step(draining, 119, unwritten=1) is Phase.OUTCOMES
    assert step(draining, 120, unwritten=1) is Phase.OVER


def test_without_a_connection_they_are_waited_for_as_long_as_it_takes() -> None:
    draining = Draining(began=100, drain_seconds=60)
    assert step(draining, 9999, unwritten=1, connected_since=None) is Phase.OUTCOMES
    assert draining.next_look() is None
    assert step(draining, 10_000, unwritten=1, connected_since=10_000) is Phase.OUTCOMES
    # Another connection has its own time.
    assert step(draining, 10_009, unwritten=1, connected_since=10_009) is Phase.OUTCOMES
    assert step(draining, 10_018, unwritten=1, connected_since=10_009) is Phase.OUTCOMES
    assert step(draining, 10_019, unwritten=1, connected_since=10_009) is Phase.OVER


def test_the_log_has_some_time_too() -> None:
    draining = Draining(began=100, drain_seconds=60)
    assert (step(draining, 110, log_pending=True), draining.next_look()) == (Phase.LOG, 110 + LINGER_SECONDS)
    assert step(draining, 114, log_pending=True) is Phase.LOG
    assert step(draining, 115, log_pending=True) is Phase.OVER
