"""What becomes of runs in warm workers when workers end, connections break and leaders change. Everything is real but the node."""

import signal
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_run
from support.operator import OperatorProcess, OwnRuns
from support.pools import Node, pool_status, worker_of
from support.proxy import FaultyProxy
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

# Workers that end


def test_a_run_that_is_deleted_is_stopped_and_holds_its_slot_until_then(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("deleted").warm("tasks:sleep").payload(seconds=600).built)
    pooled.wait("deleted", "Running")
    wait_until(lambda: pool_status(pooled)["busy"] == 1, what="a busy slot")
    pooled.kube.delete("taskruns.tidegate.dev", "deleted", wait=False)
    wait_until(lambda: pool_status(pooled)["busy"] == 0, what="an idle pool")
    assert '"run": "deleted"' in worker_of(node).output.rsplit('"end": true', 1)[0].rsplit("\n", 1)[-1]


def test_what_a_worker_ran_when_it_ended_is_disrupted_and_made_again(
    node: Node, pooled: OwnRuns, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("lost").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    pooled.wait("lost", "Running")
    wait_until(mark.exists, what="the function to start")
    worker = worker_of(node)
    node.kill(worker)
    status = pooled.wait("lost", "Retrying")
    assert status["attempts"][0]["outcome"] == "Disrupted"
    assert status["attempts"][0]["reason"] == "WorkerEnded"
    assert status["disruptions"] == 1
    node.start(worker.pod)
    go.touch()
    status = pooled.wait("lost", "Succeeded")
    assert [a["outcome"] for a in status["attempts"]] == ["Disrupted", "Succeeded"]


def test_the_third_worker_that_runs_out_of_memory_fails_the_run(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pooled.create(a_run("greedy").warm("tasks:wait_for").payload(path="/nowhere", mark=str(mark)).built)
    for lives in range(1, 4):
        wait_until(
            lambda n=lives: mark.exists() and mark.read_text().count("begin") == n,  # type: ignore[misc]
            what=f"attempt {lives}",
        )
        worker = worker_of(node)
        node.kill(worker, reason="OOMKilled")
        wait_until(lambda: pooled.get("greedy")["status"]["phase"] in ("Retrying", "Failed"), what="its end")
        node.start(worker.pod)
    status = pooled.wait("greedy", "Failed")
    assert status["reason"] == "OOMKilled"
    assert [a["reason"] for a in status["attempts"]] == ["OOMKilled"] * 3


# Leaders that change


def test_an_outcome_is_kept_until_a_leader_has_written_it(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("kept").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    pooled.wait("kept", "Running")
    wait_until(mark.exists, what="the function to start")
    leader.kill()
    go.touch()
    wait_until(lambda: "end" in mark.read_text().split(), what="the function to end")
    leader.start().wait_leading()
    status = pooled.wait("kept", "Succeeded")
    assert status["result"] == "seen"
    assert len(status["attempts"]) == 1


def test_a_run_goes_on_while_leaders_change(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("goes-on").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    wait_until(mark.exists, what="the function to start")
    leader.kill()
    leader.start().wait_leading()
    wait_until(lambda: pool_status(pooled)["busy"] == 1, what="its slot to be held")
    go.touch()
    assert len(pooled.wait("goes-on", "Succeeded")["attempts"]) == 1
    assert mark.read_text().split() == ["begin", "end"]


def test_a_leader_hears_workers_only_once_it_knows_all_runs(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, proxy: FaultyProxy, tmp_path: Path
) -> None:
    """What a worker says of a run that isn't known would be taken for one that is gone."""
    go, late, early = tmp_path / "go", tmp_path / "late", tmp_path / "early"
    for name, mark, path in (("known-late", late, go), ("ended-early", early, early)):
        pooled.create(a_run(name).warm("tasks:wait_for").payload(path=str(path), mark=str(mark)).built)
        wait_until(mark.exists, what=f"{name} to start")
    leader.kill()
    wait_until(lambda: "end" in early.read_text().split(), what="the end of one")
    # Workers try again more often than that.
    with proxy.on(method="GET", path="/taskruns$", watch=False).delay(3):
        leader.start(through=proxy).wait_leading()
    assert len(pooled.wait("ended-early", "Succeeded")["attempts"]) == 1
    go.touch()
    assert len(pooled.wait("known-late", "Succeeded")["attempts"]) == 1
    assert late.read_text().split() == ["begin", "end"]
    leader.kill()
    leader.start().wait_leading()


def test_a_hand_over_that_the_worker_never_had_is_made_again(
    plane: ControlPlane, node: Node, pooled: OwnRuns, leader: OperatorProcess, tmp_path: Path
) -> None:
    """As after a leader that died between the write and the hand-over: the status names one that no worker has."""
    pod = worker_of(node).pod
    pooled.create(a_run("never").warm("tasks:double").payload(number=4).spec(suspend=True).built)
    instance = node.container_of(pod).rpartition("//")[2][:12]
    leader.kill()
    entry: dict[str, Any] = {
        "number": 1,
        "pool": "warm",
        "podName": pod["metadata"]["name"],
        "podUid": pod["metadata"]["uid"],
    }
    status: dict[str, Any] = {
        "phase": "Running",
        "attempts": [{**entry, "handover": f"{instance}-abc"}],
        "resolvedTask": {"pool": "warm", "entrypoint": "tasks:double"},
    }
    pooled.kube.patch("taskruns.tidegate.dev", "never", {"status": status}, subresource="status")
    pooled.patch_spec("never", suspend=False)
    leader.start().wait_leading()
    status = pooled.wait("never", "Succeeded")
    assert [(a["outcome"], a.get("reason")) for a in status["attempts"]] == [
        ("Disrupted", "NotStarted"),
        ("Succeeded", None),
    ]
    assert "disruptions" not in status


@pytest.mark.parametrize("fault", ["refused", "unanswered"])
def test_what_was_prepared_for_an_intent_that_was_not_written_runs_nothing_and_holds_no_slot(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, proxy: FaultyProxy, tmp_path: Path, fault: str
) -> None:
    leader.kill()
    leader.start(through=proxy).wait_leading()
    mark, name = tmp_path / "mark", f"unwritten-{fault}"
    rule = proxy.on(method="PATCH", path=f"/taskruns/{name}/status$")
    # More often than the worker has slots.
    with (rule.answer(500) if fault == "refused" else rule.drop()).times(4):
        pooled.create(a_run(name).warm("tasks:log_line").payload(path=str(mark), line="ran").built)
        rule.wait_hits(4)
    status = pooled.wait(name, "Succeeded")
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]
    assert mark.read_text() == "ran\n"
    leader.kill()
    leader.start().wait_leading()


def test_a_worker_gets_no_run_while_it_keeps_as_many_outcomes_as_it_may(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, proxy: FaultyProxy
) -> None:
    leader.kill()
    leader.start(through=proxy).wait_leading()
    wait_until(lambda: pool_status(pooled)["slots"] == 2, what="the worker")
    names = [f"unread-{number}" for number in range(8)]
    with proxy.on(method="PATCH", path="/taskruns/unread-[0-9]+/status$", body="outcome").hold() as writes:
        for number, name in enumerate(names):
            pooled.create(a_run(name).warm("tasks:double").payload(number=number).built)
        writes.wait_hits(4)  # twice the worker's slots
        pooled.wait(names[-1], "Pending")
        writes.release()
    statuses = [pooled.wait(name, "Succeeded") for name in names]
    assert [len(status["attempts"]) for status in statuses] == [1] * len(names)
    leader.kill()
    leader.start().wait_leading()


def test_a_worker_that_does_not_answer_keeps_its_run(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("frozen").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    wait_until(mark.exists, what="the function to start")
    worker = worker_of(node)
    worker.signal(signal.SIGSTOP)
    go.touch()
    status = pooled.wait("frozen", "Running", reason="WorkerUnreachable")
    assert worker.name in status["message"]
    worker.signal(signal.SIGCONT)
    status = pooled.wait("frozen", "Succeeded")
    assert len(status["attempts"]) == 1


def test_a_worker_that_has_to_go_lets_its_run_end_and_gets_no_other(
    node: Node, pooled: OwnRuns, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("drained").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    wait_until(mark.exists, what="the function to start")
    worker = worker_of(node)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: pool_status(pooled)["slots"] == 0, what="no slot")
    pooled.create(a_run("next").warm("tasks:double").payload(number=1).built)
    pooled.wait("next", "Pending", reason="PoolNotReady")
    go.touch()
    assert len(pooled.wait("drained", "Succeeded")["attempts"]) == 1
    assert worker.process is not None
    assert worker.process.wait(20) == 0
    node.start(worker.pod)
    pooled.wait("next", "Succeeded")
