"""The clocks of a run: when it is stopped, why, and how hard."""

from tidegate.worker.lifecycle import ABANDON_SECONDS, Lifecycle, Step


def lifecycle(
    *, timeout: float = 0, start_timeout: float = 100, deadline: float | None = None, grace: float = 5
) -> Lifecycle:
    return Lifecycle(received=1000, timeout=timeout, start_timeout=start_timeout, deadline=deadline, grace=grace)


def test_nothing_is_due_while_all_is_well() -> None:
    run = lifecycle()
    assert (run.due(1099), run.next_look()) == (None, 1100)
    run.start(1050)
    assert (run.due(99999), run.next_look()) == (None, None)


def test_a_start_that_takes_too_long() -> None:
    run = lifecycle(start_timeout=10, timeout=1)
    assert (run.due(1009.9), run.due(1010), run.stopped) == (None, Step.TERMINATE, "StartTimeout")


def test_the_timeout_counts_from_the_start() -> None:
    run = lifecycle(timeout=10)
    run.start(1050)
    run.start(1055)
    assert (run.next_look(), run.due(1059), run.due(1060), run.stopped) == (1060, None, Step.TERMINATE, "Timeout")


def test_the_deadline_counts_from_the_receipt_and_names_the_reason_where_both_are_over() -> None:
    run = lifecycle(timeout=10, deadline=60)
    run.start(1055)
    assert (run.next_look(), run.due(1070), run.stopped) == (1060, Step.TERMINATE, "DeadlineExceeded")


def test_sigterm_the_grace_period_sigkill_and_then_the_subreaper() -> None:
    run = lifecycle(grace=5)
    run.stop("Cancelled", 1001)
    assert [run.due(1001), run.due(1001), run.next_look()] == [Step.TERMINATE, None, 1006]
    assert [run.due(1005.9), run.due(1006), run.next_look()] == [None, Step.KILL, 1006 + ABANDON_SECONDS]
    assert [run.due(1006 + ABANDON_SECONDS), run.next_look(), run.due(9999)] == [Step.ABANDON, None, None]


def test_the_first_reason_stays_and_starts_no_other_grace_period() -> None:
    run = lifecycle(timeout=3)
    run.start(1000)
    run.stop("Cancelled", 1001)
    run.due(1001)
    run.stop("Deleted", 1004)
    assert (run.due(1005), run.stopped, run.due(1006)) == (None, "Cancelled", Step.KILL)


def test_no_grace_is_both_at_once() -> None:
    run = lifecycle(grace=0)
    run.stop("Deleted", 1001)
    assert [run.due(1001), run.due(1001), run.due(1001)] == [Step.TERMINATE, Step.KILL, None]


def test_how_long_it_ran() -> None:
    run = lifecycle()
    assert run.ran(1010) is None
    run.start(1002)
    assert run.ran(1010) == 8
    assert run.ran(1001) == 0
