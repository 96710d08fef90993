"""``maxPending``: the API takes no more runs for a queue in which as many wait as may."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.callers import SignedIn
from support.servers import wait_until
from support.web import EMAIL, Parts, Stack
from tidegate_web.cluster.client import Cluster
from tidegate_web.runs.queue_capacity import REMEMBERED_SECONDS, Queues

TASK = {"image": "busybox", "command": ["true"]}


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


@pytest.fixture
def full(stack: Stack) -> str:
    """A queue in which as many wait as may."""
    stack.runs.queue("full", maxPending=3)
    stack.runs.queue_status("full", pending=3)
    return "full"


def test_a_full_queue_takes_no_more(parts: Parts, me: SignedIn, full: str) -> None:
    answer = me.post("runs", {"name": "refused", "task": TASK, "queue": full})
    assert answer.status_code == 429
    assert answer.content_type == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json is not None
    assert answer.json["detail"] == "Queue full is full: 3 runs wait in it, and it takes 3 at most."
    assert me.get("runs/refused").status_code == 404
    rows = parts.rows("SELECT actor, action, target, outcome FROM audit WHERE action LIKE 'run.%'")
    assert [tuple(row) for row in rows] == [(EMAIL, "run.create", "refused", "refused 429")]


def test_the_queue_is_the_one_that_the_run_would_wait_in(stack: Stack, me: SignedIn, full: str) -> None:
    stack.runs.queue("free", maxPending=3)
    stack.runs.queue("unlimited")
    stack.runs.queue_status("unlimited", pending=50_000)
    stack.runs.task("slow", **TASK, queue=full)
    stack.runs.task("plain", **TASK)

    def posted(**body: Any) -> int:
        return me.post("runs", body).status_code

    assert posted(task=TASK | {"queue": full}) == 429
    assert posted(taskRef={"name": "slow"}) == 429
    assert posted(task=TASK | {"queue": full}, queue="free") == 201
    assert posted(taskRef={"name": "slow"}, queue="free") == 201
    assert posted(task=TASK, queue="unlimited") == 201
    # No Queue object, no Task, no limit: they may come.
    assert posted(task=TASK, queue="not-there") == 201
    assert posted(taskRef={"name": "not-there"}) == 201
    assert posted(taskRef={"name": "plain"}) == 201


def test_a_run_that_names_no_queue_waits_in_the_default_one(stack: Stack, me: SignedIn) -> None:
    stack.runs.queue("default", maxPending=0)
    stack.runs.task("plain", **TASK)
    assert me.post("runs", {"task": TASK}).status_code == 429
    assert me.post("runs", {"taskRef": {"name": "plain"}}).status_code == 429


def test_nonsense_is_still_the_apiservers_to_refuse(me: SignedIn) -> None:
    bodies: list[dict[str, Any]] = [
        {"task": TASK, "queue": 7},
        {"task": TASK, "queue": "../x"},
        {"task": 7},
        {"taskRef": {"name": []}},
    ]
    for body in bodies:
        assert me.post("runs", body).status_code == 422, body


def test_it_takes_runs_again_a_moment_later(stack: Stack, me: SignedIn, full: str) -> None:
    body = {"task": TASK, "queue": full}
    assert me.post("runs", body).status_code == 429
    stack.runs.queue_status(full, pending=2)
    wait_until(lambda: me.post("runs", body).status_code == 201, what="room in the queue")


def test_a_burst_costs_one_look(stack: Stack, me: SignedIn, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_web.runs.queue_capacity.REMEMBERED_SECONDS", 60.0)
    for _ in range(5):
        assert me.post("runs", {"task": TASK, "queue": full}).status_code == 429
        assert me.post("runs", {"task": TASK, "queue": "not-there"}).status_code == 201
    asked = [e.uri.partition("?")[0] for e in stack.plane.requests("web") if f"/{stack.project}/queues/" in e.uri]
    assert [uri.rpartition("/")[2] for uri in asked] == [full, "not-there"]


def test_where_the_apiserver_does_not_answer_they_may_come(stack: Stack, parts: Parts, full: str) -> None:
    spec = {"task": TASK, "queue": full}
    assert parts.services.runs.queues.full(stack.project, [spec]) is not None
    stranger = Queues(cluster=Cluster.connect(stack.plane.kubeconfig("mirror")))  # has no right to read Queues
    assert stranger.full(stack.project, [spec]) is None


def test_requests_during_a_refresh_of_a_queue_use_the_former_answer(stack: Stack, parts: Parts, full: str) -> None:
    elapsed = [0.0]
    queues = Queues(cluster=parts.services.cluster, now=lambda: elapsed[0])
    spec = {"task": TASK, "queue": full}
    assert queues.full(stack.project, [spec]) is not None
    before = len(asked(stack, full))
    elapsed[0] += REMEMBERED_SECONDS
    with ThreadPoolExecutor(max_workers=8) as pool:
        assert all(pool.map(lambda _: queues.full(stack.project, [spec]), range(8)))
    assert len(asked(stack, full)) == before + 1


def asked(stack: Stack, queue: str) -> list[str]:
    """What the apiserver was asked about a queue of this project."""
    found = stack.plane.requests("web")
    return [one.what for one in found if (one.namespace, one.name, one.verb) == (stack.project, queue, "get")]
