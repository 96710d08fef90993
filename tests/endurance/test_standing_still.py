"""Processes of a pool that stand still for minutes, by SIGSTOP: none of them may lead to two attempts at once."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.builders import a_run
from support.cluster import SECONDS, ClusterRuns, leading_pod
from support.cluster_pools import POOL, has_slots, workers
from support.kube import Kube
from support.recorded import Recorder, a_marked_pool, never_two_at_once
from support.servers import wait_until

pytestmark = pytest.mark.timeout(1800)
STILL_SECONDS = 150
"""Longer than any lease, ping or probe of ours has patience."""


def processes_of(pod_uid: str) -> dict[int, str]:
    """The processes of a pod on this machine, and their command lines."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                groups = (folder / "cgroup").read_text()
                if pod_uid in groups or pod_uid.replace("-", "_") in groups:
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = command
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_process(pod: str, part: str) -> int:
    """The main process of a worker, its zygote, or the process of its only run."""
    known = processes_of(pod)
    (zygote,) = (
        p for p, c in known.items() if "worker.zygote" in c and "worker.zygote" not in known.get(parent_of(p), "")
    )
    if part == "zygote":
        return zygote
    if part == "main":
        return parent_of(zygote)
    # Below the zygote: a subreaper a child, and the process of the run below the one of a run.
    subreapers = [p for p in known if parent_of(p) == zygote]
    busy = [p for p in known if parent_of(p) in subreapers]
    return min(busy)  # the spare was made after it


@pytest.fixture(scope="module")
def still(runs: ClusterRuns, recorder: Recorder) -> Iterator[str]:
    runs.kube.create(a_marked_pool("still", replicas=1, slots=2))
    has_slots(runs, "still", 2)
    yield recorder.address
    runs.kube.delete(POOL, "still", wait=False)


@pytest.mark.parametrize("part", ["main", "zygote", "run"])
def test_a_part_of_a_worker_that_stands_still(runs: ClusterRuns, recorder: Recorder, still: str, part: str) -> None:
    name = f"beside-still-{part}"
    runs.start(a_run(name).warm("marked:goes_on", pool="still").payload(host=still, seconds=10))
    recorder.said(name, "goes on")
    (pod,) = workers(runs, "still")
    pid = worker_process(pod["metadata"]["uid"], part)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(STILL_SECONDS)  # nothing is to happen, so that there is nothing to wait for
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    runs.wait(name, "Succeeded", seconds=4 * SECONDS)
    assert never_two_at_once(recorder.marks()[name]), recorder.marks()[name]
    has_slots(runs, "still", 2)
    assert runs.end(a_run(f"after-{name}").warm("marked:brief", pool="still").payload(host=still), "Succeeded")


def test_a_leader_that_stands_still(runs: ClusterRuns, release: Kube, recorder: Recorder, still: str) -> None:
    runs.start(a_run("beside-still-leader").warm("marked:goes_on", pool="still").payload(host=still, seconds=10))
    recorder.said("beside-still-leader", "goes on")
    name = leading_pod(release)
    pod = next(p for p in release.listed("pods") if p["metadata"]["name"] == name)
    pids = [p for p, command in processes_of(pod["metadata"]["uid"]).items() if "pause" not in command]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: leading_pod(release) not in ("", name), seconds=SECONDS, what="another leader")
        for number in range(20):
            runs.start(a_run(f"meanwhile-{number}").warm("marked:brief", pool="still").payload(host=still))
        time.sleep(STILL_SECONDS)  # nothing is to happen, so that there is nothing to wait for
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    for run in ("beside-still-leader", *(f"meanwhile-{number}" for number in range(20))):
        status = runs.wait(run, "Succeeded", seconds=2 * SECONDS)
        said = [what for _, what in recorder.marks()[run] if what != "goes on"]
        assert said == ["begin", "end"], status
        assert never_two_at_once(recorder.marks()[run])
