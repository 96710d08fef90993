"""As `test_found.py`: what clocks that differ, or are put forward or back, have broken."""

from collections.abc import Iterator

import pytest
from support.fake_apiserver import Json

from property.operation import Operation
from property.pool_operation import PoolOperation

FIRST, SECOND = "replica 1", "replica 0"
"""The replica that leads first, and the one after it."""


@pytest.fixture
def state() -> Iterator[Operation]:
    """Ends its loop when a scenario fails, too."""
    made = Operation()
    yield made
    if made.process is not None and not made.running.loop.is_closed():
        made.running.kill()


@pytest.fixture
def pools() -> Iterator[PoolOperation]:
    """The same with pools."""
    made = PoolOperation()
    yield made
    if made.process is not None and not made.running.loop.is_closed():
        made.running.kill()


def the_run(state: Operation) -> Json:
    (run,) = state.cluster.all("taskruns")
    return run


@pytest.mark.parametrize("ahead", [600.0, -600.0])
def test_an_attempt_has_its_start_timeout_by_the_apiservers_clock(state: Operation, ahead: float) -> None:
    state.create(attempts=[1], limit=1, lagging=set(), ahead={FIRST: ahead})
    state.bind_pod(index=0)
    for _ in range(4):
        state.advance(seconds=60.0)
    assert the_run(state)["status"]["phase"] == "Starting"
    for _ in range(2):
        state.advance(seconds=60.0)
    assert the_run(state)["status"]["reason"] == "StartTimeout"
    state.teardown()


@pytest.mark.parametrize("ahead", [{FIRST: 600.0}, {FIRST: -600.0}, {"node": 600.0}, {"node": -600.0}])
def test_an_attempt_has_its_timeout_whichever_clock_is_off(state: Operation, ahead: dict[str, float]) -> None:
    state.create(attempts=[1], limit=1, lagging=set(), ahead=ahead)
    state.run_pod(index=0)
    state.advance(seconds=6.0)
    state.advance(seconds=6.0)
    assert the_run(state)["status"]["phase"] == "Running"
    state.advance(seconds=60.0)
    assert the_run(state)["status"]["reason"] == "Timeout"
    state.teardown()


@pytest.mark.parametrize("ahead", [{FIRST: 600.0}, {SECOND: -600.0}, {FIRST: -600.0}, {SECOND: 600.0}])
def test_a_back_off_lasts_as_long_under_the_next_replica(state: Operation, ahead: dict[str, float]) -> None:
    state.create(attempts=[2], limit=1, lagging=set(), ahead=ahead)
    state.run_pod(index=0)
    state.end_pod(index=0, code=1)
    state.crash(arrived=True)
    state.advance(seconds=0.5)
    assert the_run(state)["status"]["reason"] == "BackOff"
    state.advance(seconds=6.0)
    assert len(list(state.cluster.all("jobs"))) == 2
    state.teardown()


@pytest.mark.parametrize("whose", ["replica", "apiserver"])
@pytest.mark.parametrize("by", [600.0, -600.0])
def test_a_clock_that_is_set_neither_cuts_a_back_off_short_nor_prolongs_it(
    state: Operation, whose: str, by: float
) -> None:
    state.create(attempts=[2], limit=1, lagging=set())
    state.run_pod(index=0)
    state.end_pod(index=0, code=1)
    state.put_clock(whose=whose, by=by)
    state.sweep()
    assert len(list(state.cluster.all("jobs"))) == 1
    state.advance(seconds=6.0)
    assert len(list(state.cluster.all("jobs"))) == 2
    state.teardown()


def test_a_process_in_a_worker_has_its_timeout_under_a_replica_with_another_clock(pools: PoolOperation) -> None:
    pools.create(attempts=[1], limit=1, lagging=set(), ahead={SECOND: 600.0})
    pools.advance(seconds=6.0)
    pools.depose()
    pools.advance(seconds=6.0)
    (process,) = pools.cluster.live_processes()
    assert process.stopping is None
    pools.end_task(index=0, code=0)
    assert the_run(pools)["status"]["phase"] == "Succeeded"
    pools.teardown()


@pytest.mark.parametrize("ahead", [600.0, -600.0, -20.0])
def test_a_pod_that_ends_well_because_it_was_deleted_has_not_succeeded(state: Operation, ahead: float) -> None:
    state.create(attempts=[1], limit=1, lagging=set(), ahead={"node": ahead})
    state.run_pod(index=0)
    state.advance(seconds=6.0)
    state.delete_pod(index=0)
    state.end_pod(index=0, code=0)
    assert the_run(state)["status"]["reason"] == "PodDeleted"
    state.teardown()


@pytest.mark.parametrize("ahead", [600.0, -600.0])
def test_a_pod_that_ended_well_before_it_was_deleted_has_succeeded(state: Operation, ahead: float) -> None:
    state.create(attempts=[1], limit=1, lagging=set(), ahead={"node": ahead})
    state.run_pod(index=0)
    state.advance(seconds=6.0)
    state.lag(who="watches", lags=True)
    state.end_pod(index=0, code=0)
    state.advance(seconds=6.0)
    state.delete_pod(index=0)
    state.lag(who="watches", lags=False)
    assert the_run(state)["status"]["phase"] == "Succeeded"
    state.teardown()


@pytest.mark.parametrize("by", [600.0, -600.0])
def test_a_finished_run_is_kept_for_its_ttl_when_its_nodes_clock_is_put(state: Operation, by: float) -> None:
    state.create(attempts=[1], limit=2, lagging=set())
    state.create_later(on=None, when="Succeeded", key=None, ttl=30)
    for index in (0, 0):
        state.run_pod(index=index)
    state.advance(seconds=6.0)
    state.put_clock(whose="node", by=by)
    for index in (0, 0):
        state.end_pod(index=index, code=0)
    assert [run["status"]["phase"] for run in state.cluster.all("taskruns")] == ["Succeeded", "Succeeded"]
    state.advance(seconds=6.0)
    assert len(list(state.cluster.all("taskruns"))) == 2
    state.advance(seconds=60.0)
    assert len(list(state.cluster.all("taskruns"))) == 1
    state.teardown()
