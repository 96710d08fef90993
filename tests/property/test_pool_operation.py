"""Many random orders of what workers of pools, their connections and leaders do, besides all that `test_operation.py` has."""

import os
from typing import Final

import pytest
from hypothesis import settings

from property.pool_operation import PoolOperation

EXAMPLES: Final = os.environ.get("TIDEGATE_PROPERTY_EXAMPLES")
# Minutes, where other lanes have both cores.
pytestmark = pytest.mark.timeout(1800)

TestPoolOperation = PoolOperation.TestCase
TestPoolOperation.settings = settings(
    max_examples=int(EXAMPLES or 200),
    stateful_step_count=50,
    deadline=None,
    derandomize=EXAMPLES is None,
    print_blob=True,
)


def test_a_run_that_nothing_disturbs_costs_two_writes() -> None:
    state = PoolOperation()
    state.create(attempts=[1], limit=1, lagging=set())
    state.advance(seconds=6.0)
    state.cluster.disturbed.clear()
    state.create_later(on=None, when="Finished", key=None, ttl=None)
    assert len(state.cluster.live_processes()) == 1
    state.end_task(index=0, code=0)
    assert len(state.cluster.live_processes()) == 1
    state.advance(seconds=6.0)
    state.end_task(index=0, code=0)
    writes = [state.cluster.status_writes[run["metadata"]["uid"]] for run in state.cluster.all("taskruns")]
    assert writes == [2, 2]
    state.teardown()
