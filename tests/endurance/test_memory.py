"""A run that takes more memory than there is, with a limit of each run and without one."""

import pytest
from support.builders import a_run
from support.cluster import ClusterRuns
from support.cluster_pools import POOL, has_slots
from support.recorded import Recorder, a_marked_pool, never_two_at_once

pytestmark = pytest.mark.timeout(900)
LIMIT = {"limits": {"memory": "256Mi"}}


def test_a_run_over_its_limit_fails_by_a_memory_error_and_its_neighbour_goes_on(
    runs: ClusterRuns, recorder: Recorder
) -> None:
    runs.kube.create(a_marked_pool("bounded", slots=2, memoryPerRun="64Mi", resources=LIMIT))
    has_slots(runs, "bounded", 2)
    runs.start(a_run("bounded-beside").warm("marked:goes_on", pool="bounded").payload(host=recorder.address, seconds=5))
    recorder.said("bounded-beside", "goes on")
    greedy = a_run("bounded-greedy").warm("marked:eats", pool="bounded").payload(megabytes=128)
    status = runs.end(greedy.retry(maxAttempts=1), "Failed")
    assert "MemoryError" in status["message"]
    assert runs.end(a_run("bounded-small").warm("marked:eats", pool="bounded").payload(megabytes=8), "Succeeded")
    assert len(runs.wait("bounded-beside", "Succeeded")["attempts"]) == 1
    runs.kube.delete(POOL, "bounded", wait=False)


def test_without_one_the_pod_ends_it_and_the_pool_works_on(runs: ClusterRuns, recorder: Recorder) -> None:
    """On cgroup v1 the kernel ends one process; on v2 all of the container, so that the neighbour begins again."""
    runs.kube.create(a_marked_pool("unbounded", slots=2, resources=LIMIT))
    has_slots(runs, "unbounded", 2)
    beside = a_run("unbounded-beside").warm("marked:goes_on", pool="unbounded")
    runs.start(beside.payload(host=recorder.address, seconds=5))
    recorder.said("unbounded-beside", "goes on")
    greedy = a_run("unbounded-greedy").warm("marked:eats", pool="unbounded").payload(megabytes=512)
    status = runs.end(greedy.retry(maxAttempts=1), "Failed")
    assert status["attempts"][-1].get("exitCode") == 137 or status["reason"] == "OOMKilled", status
    runs.wait("unbounded-beside", "Succeeded")
    assert never_two_at_once(recorder.marks()["unbounded-beside"])
    has_slots(runs, "unbounded", 2)
    assert runs.end(a_run("unbounded-small").warm("marked:eats", pool="unbounded").payload(megabytes=8), "Succeeded")
    runs.kube.delete(POOL, "unbounded", wait=False)
