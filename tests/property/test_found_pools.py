"""As `test_found.py`, with pools."""

from collections.abc import Iterator

import pytest

from property.pool_operation import PoolOperation


@pytest.fixture
def state() -> Iterator[PoolOperation]:
    """Ends its loop when a scenario fails, too."""
    made = PoolOperation()
    yield made
    if made.process is not None and not made.running.loop.is_closed():
        made.running.kill()


def test_a_retry_in_a_pool_holds_the_slot_of_its_own_queue(state: PoolOperation) -> None:
    state.create(attempts=[2, 1], limit=1, lagging=set())
    state.advance(seconds=0.5)
    state.end_task(index=0, code=1)
    state.end_task(index=0, code=0)
    state.advance(seconds=6.0)
    state.create_later(on=None, when="Finished", key=None, ttl=None)
    state.advance(seconds=6.0)
    state.teardown()


def test_a_run_whose_job_is_gone_and_whose_task_has_a_pool_now_waits_for_a_worker(state: PoolOperation) -> None:
    state.create(attempts=[3], limit=1, lagging=set())
    state.change_task(pooled=False)
    state.run_pod(index=0)
    state.end_pod(index=0, code=1)
    state.change_task(pooled=True)
    state.delete_job(index=0, propagation="Background")
    state.advance(seconds=6.0)
    assert state.cluster.live_processes()
    state.teardown()


def test_a_worker_that_never_heard_that_its_outcome_is_written_hears_it_with_its_next_connection(
    state: PoolOperation,
) -> None:
    state.create(attempts=[1], limit=1, lagging=set())
    state.advance(seconds=0.5)
    (worker,) = state.live_workers()
    state.lag_of_pools(who="lines", lags=True)
    state.end_task(index=0, code=0)
    state.deliver_line(index=0, to_worker=False)
    state.deliver_line(index=0, to_worker=False)
    assert next(state.cluster.all("taskruns"))["status"]["phase"] == "Succeeded"
    state.lose_connection(away=False, index=0, side="both", unread=False)
    assert worker.unwritten
    state.lag_of_pools(who="lines", lags=False)
    state.advance(seconds=6.0)
    assert not worker.unwritten
    state.teardown()


def test_nothing_counts_as_not_started_before_its_worker_has_said_all_that_it_holds(state: PoolOperation) -> None:
    state.create(attempts=[1], limit=1, lagging=set())
    state.advance(seconds=0.5)
    state.misbehave(index=0, how="slow")
    state.advance(seconds=6.0)
    (run,) = state.cluster.all("taskruns")
    assert "outcome" not in run["status"]["attempts"][0]
    state.teardown()


def test_a_deleted_run_holds_its_slots_under_the_next_leader_too(state: PoolOperation) -> None:
    state.create(attempts=[1, 1], limit=1, lagging=set())
    state.advance(seconds=6.0)
    (process,) = state.cluster.live_processes()
    state.cluster.delete_uid("taskruns", process.uid)
    state.work()
    state.crash(arrived=False)
    state.advance(seconds=6.0)
    assert len(state.cluster.live_processes()) == 1
    state.teardown()


def test_a_worker_whose_pool_was_deleted_reports_its_run_to_the_next_leader(state: PoolOperation) -> None:
    """Its ReplicaSet is collected long before it has drained."""
    state.create(attempts=[1], limit=1, lagging=set())
    state.advance(seconds=0.5)
    state.delete_pool()
    state.depose()
    state.end_task(index=0, code=0)
    state.advance(seconds=6.0)
    (run,) = state.cluster.all("taskruns")
    assert run["status"]["phase"] == "Succeeded"
    state.teardown()
