"""What runs in a pool write stands in the log of their worker; the mirror takes it apart by run and keeps it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kubelet import Kubelet, Log
from support.runs import now
from support.servers import wait_until
from support.web import Parts, Stack

WORKER = "warm-1"


@pytest.fixture
def kubelet(stack: Stack, tmp_path: Path) -> Iterator[Kubelet]:
    with Kubelet(stack.runs.kube, name=f"node-{stack.project}", folder=tmp_path / "pki") as made:
        yield made


class Worker:
    """A worker pod, and what its main process writes."""

    def __init__(self, stack: Stack, kubelet: Kubelet, name: str = WORKER) -> None:
        self._stack, self.name = stack, name
        spec = {"nodeName": kubelet.name, "containers": [{"name": "worker", "image": "runner"}]}
        metadata = {"name": name, "labels": {"tidegate.dev/pool": "warm"}}
        stack.runs.account()
        made = stack.runs.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.uid: str = made["metadata"]["uid"]
        self.log: Log = kubelet.log(name)
        self._written: dict[str, int] = {}
        container = {"name": "worker", "image": "", "imageID": "", "ready": True, "restartCount": 0}
        container |= {"containerID": "c://0123456789ab", "state": {"running": {"startedAt": now()}}}
        status = {"status": {"phase": "Running", "containerStatuses": [container]}}
        stack.runs.kube.patch("pods", name, status, subresource="status", strategic=True)

    def take(self, run: str, *, attempt: int = 1) -> dict[str, Any]:
        """Make a run, whose status says that this worker has it; what its lines begin with."""
        made = self._stack.runs.create(run, task={"pool": "warm", "entrypoint": "a:b"})
        entry = {"number": attempt, "pool": "warm", "podName": self.name, "podUid": self.uid, "handover": f"h-{run}"}
        self._stack.runs.status(run, phase="Running", attempts=[entry])
        return {"run": run, "uid": made["metadata"]["uid"], "attempt": attempt, "handover": f"h-{run}"}

    def say(self, head: dict[str, Any], text: str, **more: Any) -> None:
        """A line of a run."""
        at = self._written.get(head["handover"], 0)
        self._written[head["handover"]] = at + len(text.encode()) + (0 if more.get("more") else 1)
        self.write({**head, "stream": "stdout", "at": at, "line": text, **more})

    def finish(self, head: dict[str, Any]) -> None:
        """The end of a run's log."""
        self.write({**head, "end": True, "lines": 0, "at": self._written.get(head["handover"], 0)})

    def write(self, body: object) -> None:
        self.log.write(json.dumps(body).encode() + b"\n")

    def go(self) -> None:
        self.log.write(b"", close=True)
        self._stack.runs.kube.delete("pods", self.name, grace=0, wait=False)


@pytest.fixture
def worker(stack: Stack, kubelet: Kubelet) -> Worker:
    return Worker(stack, kubelet)


def marks(parts: Parts) -> dict[str, str]:
    return {r.name: r.mark for r in parts.rows("SELECT name, mark FROM log_ends JOIN run_keys ON uid = run_uid")}


def until_ended(parts: Parts, *runs: str) -> None:
    wait_until(lambda: marks(parts).keys() >= set(runs), what=f"the end marks of {runs}")


def log_of(parts: Parts, run: str) -> str:
    return str(parts.sign_in().get(f"runs/{run}/logs", headers={"Accept": "text/plain"}).text)


def test_each_run_has_the_lines_that_it_wrote(stack: Stack, parts: Parts, worker: Worker) -> None:
    stack.mirror()
    one, two = worker.take("one"), worker.take("two")
    worker.write({"level": "info", "event": "the worker starts"})
    for number in range(3):
        worker.say(one, f"one {number}")
        worker.say(two, f"two {number}")
    worker.say(one, "a long ", more=True)
    worker.say(one, "line")
    worker.finish(two)
    worker.finish(one)
    until_ended(parts, "one", "two")
    assert log_of(parts, "one") == "one 0\none 1\none 2\na long line\n"
    assert log_of(parts, "two") == "two 0\ntwo 1\ntwo 2\n"
    assert marks(parts) == {"one": "complete", "two": "complete"}


def test_a_mirror_that_starts_again_stores_nothing_twice(stack: Stack, parts: Parts, worker: Worker) -> None:
    head = worker.take("again")
    first = stack.mirror()
    worker.say(head, "before")
    wait_until(lambda: log_of(parts, "again") == "before\n", what="the first line")
    first.end()
    worker.say(head, "after")
    stack.mirror("mirror")
    worker.finish(head)
    until_ended(parts, "again")
    assert log_of(parts, "again") == "before\nafter\n"


def test_lines_that_are_missing_are_marked(stack: Stack, parts: Parts, worker: Worker) -> None:
    stack.mirror()
    head = worker.take("gap")
    worker.say(head, "first")
    worker._written["h-gap"] += 100
    worker.say(head, "last")
    worker.finish(head)
    until_ended(parts, "gap")
    begin, mark, end = log_of(parts, "gap").splitlines()
    assert (begin, end) == ("first", "last")
    assert "lines of this run are missing" in mark


def test_a_line_counts_only_for_a_run_whose_status_names_the_worker(
    stack: Stack, parts: Parts, worker: Worker, kubelet: Kubelet
) -> None:
    other = Worker(stack, kubelet, "warm-2")
    stack.mirror()
    mine = worker.take("mine")
    other.say(mine, "forged by a neighbour")
    other.say({**mine, "attempt": 2}, "of an attempt that is not")
    nobody = {"run": "nobody", "uid": "00000000-0000-0000-0000-000000000000", "attempt": 1, "handover": "h"}
    worker.say(nobody, "of a run that is not")
    worker.say(mine, "its own")
    worker.finish(mine)
    until_ended(parts, "mine")
    assert log_of(parts, "mine") == "its own\n"


def test_what_a_worker_had_when_it_went_is_lost_with_why(stack: Stack, parts: Parts, worker: Worker) -> None:
    stack.mirror()
    head = worker.take("lost")
    worker.say(head, "last words")
    wait_until(lambda: log_of(parts, "lost") == "last words\n", what="its line")
    worker.go()
    until_ended(parts, "lost")
    assert marks(parts) == {"lost": "lost"}
    assert log_of(parts, "lost").startswith("last words\n")


def test_a_run_keeps_so_much_of_its_log_and_its_neighbours_keep_theirs(
    stack: Stack, parts: Parts, worker: Worker
) -> None:
    stack.mirror(log_limit_bytes=2048)
    noisy, quiet = worker.take("noisy"), worker.take("quiet")
    for number in range(100):
        worker.say(noisy, f"{number:03} " + "x" * 60)
    worker.say(quiet, "hello")
    worker.finish(noisy)
    worker.finish(quiet)
    until_ended(parts, "noisy", "quiet")
    assert marks(parts) == {"noisy": "truncated", "quiet": "complete"}
    assert "the log is cut here" in log_of(parts, "noisy")
    assert log_of(parts, "quiet") == "hello\n"


def test_a_finished_run_leaves_the_cluster_once_its_log_is_there(stack: Stack, parts: Parts, worker: Worker) -> None:
    stack.mirror(sweep_seconds=0.2)
    head = worker.take("short")
    worker.say(head, "done")
    ends = {"startedAt": now(), "finishedAt": now(), "ttlSecondsAfterFinished": 0}
    stack.runs.status("short", phase="Succeeded", **ends)
    wait_until(lambda: log_of(parts, "short") == "done\n", what="its line")
    assert stack.runs.exists("short")
    worker.finish(head)
    wait_until(lambda: not stack.runs.exists("short"), what="the run to be deleted")
    assert marks(parts) == {"short": "complete"}


def test_the_page_of_a_run_leads_to_its_worker_and_shows_what_it_ran(
    stack: Stack, parts: Parts, worker: Worker
) -> None:
    stack.mirror()
    head = worker.take("shown")
    spec = {"pool": "warm", "entrypoint": "a:b"}
    stack.runs.status("shown", resolvedTask=spec)
    worker.say(head, "hello")
    worker.finish(head)
    until_ended(parts, "shown")
    page = parts.sign_in().get(f"/projects/{stack.project}/runs/{head['uid']}").text
    assert f'in pool <a href="/projects/{stack.project}/pools/warm">warm</a>' in page
    assert f"logs {WORKER} -c worker | grep" in page
    assert "get jobs,pods" not in page
