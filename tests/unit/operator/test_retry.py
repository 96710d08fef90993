"""policies/retry: delays and what counts."""

from hypothesis import given
from hypothesis import strategies as st
from tidegate_api.bodies import AttemptBody
from tidegate_operator.policies.retry import delay, failures, ran_out_of_memory
from tidegate_operator.records.run import Plan


def test_the_delay_grows_by_its_factor_up_to_its_maximum() -> None:
    plan = Plan(initial_delay=1, factor=2, max_delay=10, jitter=False)
    assert [delay(plan, run_uid="u", failed=n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_the_tasks_own_word_is_taken_as_it_is() -> None:
    assert delay(Plan(max_delay=10), run_uid="u", failed=1, retry_after=900) == 900


@given(uid=st.uuids().map(str), failed=st.integers(1, 100))
def test_jitter_shortens_by_up_to_half_and_comes_out_the_same_again(uid: str, failed: int) -> None:
    plan = Plan(initial_delay=7, factor=1, max_delay=7)
    first = delay(plan, run_uid=uid, failed=failed)
    assert 3.5 <= first <= 7
    assert first == delay(plan, run_uid=uid, failed=failed)


def test_jitter_differs_between_runs_and_attempts() -> None:
    plan = Plan(initial_delay=60, factor=1)
    assert len({delay(plan, run_uid=u, failed=n) for u in ("a", "b") for n in (1, 2, 3)}) == 6


def test_jitter_takes_up_all_of_its_range() -> None:
    plan = Plan(initial_delay=100, factor=1, max_delay=100)
    delays = [delay(plan, run_uid=str(n), failed=1) for n in range(400)]
    assert min(delays) < 52
    assert max(delays) > 98


def test_disruptions_and_what_goes_on_do_not_count() -> None:
    attempts: list[AttemptBody] = [
        {"number": 1, "outcome": "Failed"},
        {"number": 2, "outcome": "Disrupted"},
        {"number": 3, "outcome": "Timeout"},
        {"number": 4},
        {"number": 5, "outcome": "Cancelled"},
    ]
    assert failures(attempts) == 2


def test_an_oom_kill_of_any_attempt_counts() -> None:
    assert ran_out_of_memory([{"number": 1, "reason": "OOMKilled"}, {"number": 2, "reason": "Error"}])
    assert not ran_out_of_memory([{"number": 1, "reason": "Error"}, {"number": 2}])
