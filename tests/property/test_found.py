"""Orders of events that broke the operator, or an operator that was broken on purpose, as the state machine found them."""

from collections.abc import Iterator

import pytest

from property.operation import Operation


@pytest.fixture
def state() -> Iterator[Operation]:
    """Ends its loop when a scenario fails, too."""
    made = Operation()
    yield made
    if made.process is not None and not made.running.loop.is_closed():
        made.running.kill()


def test_a_stop_that_is_refused_is_not_repeated_at_once(state: Operation) -> None:
    state.create(attempts=[1], limit=1, lagging=set())
    state.hold_requests()
    state.cancel(index=0)
    state.fence(fenced=True)
    state.release_requests()
    state.teardown()


def test_a_run_whose_job_was_deleted_before_a_restart_has_no_more_attempts_than_it_may(state: Operation) -> None:
    state.create(attempts=[1], limit=1, lagging={"garbage"})
    state.delete_job(index=0, propagation="Background")
    state.crash(arrived=False)
    state.teardown()


def test_a_run_whose_pod_was_deleted_before_a_restart_does_not_wait_for_its_own_slot(state: Operation) -> None:
    state.create(attempts=[2], limit=1, lagging=set())
    state.delete_pod(index=0)
    state.crash(arrived=False)
    state.teardown()


def test_a_status_is_not_written_on_a_later_version_than_it_was_decided_on(state: Operation) -> None:
    state.create(attempts=[1, 3, 1], limit=1, lagging={"watches"})
    state.run_pod(index=0)
    state.fail_next_write(fault="lost")
    state.end_pod(index=0, code=1)
    state.crash(arrived=False)
    state.teardown()


def test_a_job_that_ended_unseen_makes_no_other_pod_and_its_attempt_is_over(state: Operation) -> None:
    """Its pod was evicted, and ended well in the seconds that it had."""
    state.create(attempts=[2], limit=1, lagging=set())
    state.run_pod(index=0)
    state.disrupt(index=0)
    state.cut_watch(expired=True)
    state.end_pod(index=0, code=0)
    state.teardown()


def test_a_disrupted_pod_that_is_not_replaced_in_time_costs_its_job(state: Operation) -> None:
    state.create(attempts=[2], limit=1, lagging=set())
    state.run_pod(index=0)
    state.disrupt(index=0)
    state.lag(who="jobs", lags=True)
    for _ in range(6):
        state.advance(seconds=60.0)
    assert all("deletionTimestamp" in job["metadata"] for job in state.cluster.all("jobs"))
    state.teardown()


def test_a_stop_leaves_another_pod_of_the_name_alone(state: Operation) -> None:
    state.create(attempts=[1], limit=1, lagging=set())
    state.run_pod(index=0)
    state.advance(seconds=0.5)
    state.lag(who="watches", lags=True)
    pod = next(state.cluster.all("pods"))
    meta = {"name": pod["metadata"]["name"], "namespace": "default", "labels": {}}
    state.cluster.remove("pods", pod)
    state.cluster.add("pods", {"metadata": meta, "spec": {"containers": []}, "status": {"phase": "Succeeded"}})
    state.advance(seconds=60.0)
    state.no_part_of_the_operator_has_broken()
    state.teardown()


def test_an_event_from_before_a_run_ended_starts_it_no_second_time(state: Operation) -> None:
    state.create(attempts=[1], limit=1, lagging=set())
    state.run_pod(index=0)
    state.end_pod(index=0, code=0)
    state.delete_job(index=0, propagation="Background")
    state.running.deliver(next(event for event in state.cluster.events if event.plural == "taskruns"))
    state.work()
    state.teardown()


def test_a_request_that_hung_for_a_minute_does_not_hold_up_what_is_said_of_later_attempts(state: Operation) -> None:
    state.create(attempts=[2], limit=1, lagging=set())
    state.hold_requests()
    state.advance(seconds=60.0)
    state.delete_job(index=0, propagation="Background")
    state.teardown()
