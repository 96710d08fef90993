"""2,000 short and 20 long runs in a pool while its operators are killed one after the other and a new spec is rolled out."""

import pytest
from support.builders import a_run
from support.cluster import SECONDS, ClusterRuns, leading_pod
from support.cluster_pools import POOL, has_slots, workers
from support.kube import Kube
from support.recorded import Recorder, a_marked_pool, never_two_at_once
from support.servers import wait_until

pytestmark = pytest.mark.timeout(3600)
SHORT, LONG = 2000, 20
KILLS = 8


def test_each_runs_once_while_operators_are_killed_and_a_new_spec_is_rolled_out(
    runs: ClusterRuns, release: Kube, recorder: Recorder
) -> None:
    runs.kube.create(a_marked_pool("steady", replicas=2, slots=16, drainSeconds=300))
    has_slots(runs, "steady", 32)
    before = {pod["metadata"]["uid"] for pod in workers(runs, "steady")}
    long = [
        a_run(f"long-{number}").warm("marked:goes_on", pool="steady").payload(host=recorder.address, seconds=60)
        for number in range(LONG)
    ]
    short = [
        a_run(f"short-{number}").warm("marked:brief", pool="steady").payload(host=recorder.address)
        for number in range(SHORT)
    ]
    runs.kube.create_all([run.namespace(runs.namespace).built for run in long])
    for run in long:
        recorder.said(run.built["metadata"]["name"], "begin")
    for part in range(KILLS):
        batch = [run.namespace(runs.namespace).built for run in short[part::KILLS]]
        runs.kube.create_all(batch)
        if part == KILLS // 2:
            runs.kube.patch(POOL, "steady", {"spec": {"env": [
                {"name": "PYTHONPATH", "value": "/marked"}, {"name": "ROUND", "value": "2"}
            ]}})  # fmt: skip
        wait_until(lambda: bool(leading_pod(release)), seconds=SECONDS, what="a leader")
        gone = leading_pod(release)
        release.delete("pods", gone, grace=0)
        wait_until(lambda gone=gone: leading_pod(release) not in ("", gone), seconds=SECONDS, what="another leader")  # type: ignore[misc]
        # What a leader has begun shall be cut off in its midst, not at its beginning alone.
        done = len(recorder.marks())
        wait_until(
            lambda done=done: len(recorder.marks()) > min(done + 50, LONG + SHORT - 1),  # type: ignore[misc]
            seconds=SECONDS,
            what="runs of the new leader",
        )

    def open_runs() -> int:
        return sum(
            run["status"]["phase"] not in ("Succeeded", "Failed") for run in runs.listed("taskruns.tidegate.dev")
        )

    wait_until(lambda: open_runs() == 0, seconds=10 * SECONDS, what="the end of all")
    marks = recorder.marks()
    for run in [*long, *short]:
        name = run.built["metadata"]["name"]
        status = runs.get(name)["status"]
        assert status["phase"] == "Succeeded", (name, status)
        assert never_two_at_once(marks[name]), (name, marks[name])
        *before_it, last = status["attempts"]
        assert [what for number, what in marks[name] if number == last["number"] and what != "goes on"] == [
            "begin",
            "end",
        ]
        # A leader may have died between its write and the hand-over; a machine that is too busy may have ended a worker.
        assert {a["reason"] for a in before_it} <= {"NotStarted", "WorkerEnded"}, (name, status)
        not_started = {a["number"] for a in before_it if a["reason"] == "NotStarted"}
        assert not not_started & {number for number, _ in marks[name]}, (name, marks[name], status)
    wait_until(
        lambda: not before & {pod["metadata"]["uid"] for pod in workers(runs, "steady")},
        seconds=SECONDS,
        what="workers of the new spec alone",
    )
    runs.kube.delete(POOL, "steady", wait=False)
