"""Acts over many runs: accepted at once, carried out in the background, whichever process dies meanwhile."""

from typing import Any

import pytest
from sqlalchemy import text
from support.callers import SignedIn, WithKey
from support.proxy import FaultyProxy
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, finish, until
from tidegate_web.api.bulk import WORKER
from tidegate_web.bulk.worker import BulkWorker
from tidegate_web.shared.permissions import Role
from tidegate_web.store.queries import members, users

TASK = {"image": "busybox", "command": ["true"]}
NO_RUN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def make(me: SignedIn, *names: str, **body: Any) -> list[str]:
    """Runs of these names; their uids."""
    runs = [{"name": name} | (body if "taskRef" in body else body | {"task": TASK}) for name in names]
    answer: Any = me.post("runs:batch", {"runs": runs}).json
    return [item["run"]["uid"] for item in answer["items"]]


def accepted(me: SignedIn | WithKey, **body: Any) -> Any:
    answer = me.post("runs:bulk", body)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    assert answer.headers["Location"].endswith(f"/bulk/{answer.json['id']}")
    return answer.json


def ended(me: SignedIn | WithKey, operation: Any) -> Any:
    def reported() -> Any:
        return me.get(f"bulk/{operation['id']}").json

    wait_until(lambda: reported()["state"] != "Running", what="the operation to end")
    return reported()


def worker(stack: Stack, parts: Parts, **patience: float) -> BulkWorker:
    """Another process's worker."""
    made = BulkWorker(parts.services, **patience)
    stack.cleanup.callback(made.stop)
    return made


def counts(operation: Any) -> tuple[int, int, int]:
    return operation["total"], operation["done"], operation["failed"]


def test_runs_are_cancelled_by_a_filter(stack: Stack, parts: Parts, me: SignedIn) -> None:
    make(me, *(f"run-{number}" for number in range(50)), tags=["x"])
    make(me, "other")
    operation = ended(me, accepted(me, action="cancel", filter={"tag": "x"}))
    assert counts(operation) == (50, 50, 0)
    assert operation["state"] == "Finished"
    runs = stack.runs.kube.listed("taskruns.tidegate.dev")
    cancelled = [run["metadata"]["name"] for run in runs if run["spec"].get("cancel")]
    assert len(cancelled) == 50
    assert "other" not in cancelled
    assert len(parts.rows("SELECT 1 FROM audit WHERE action = 'run.cancel' AND outcome = 'done'")) == 50
    assert len(parts.rows("SELECT 1 FROM audit WHERE action = 'run.cancel-bulk'")) == 1


def test_runs_are_replayed_by_their_uids(me: SignedIn) -> None:
    uids = make(me, "a", "b")
    operation = ended(me, accepted(me, action="replay", uids=[*uids, uids[0], NO_RUN]))
    assert counts(operation) == (3, 3, 1)
    assert operation["problems"] == [{"uid": NO_RUN, "message": "There is no such run."}]
    listed: Any = me.get("runs").json
    assert len(listed["items"]) == 4


def test_runs_are_deleted_by_admins_alone(stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread) -> None:
    assert mirror.is_alive()
    make(me, "a", "b", tags=["x"])
    stack.runs.delete("a")
    until(parts, "a", lambda row: row.deleted_at is not None)
    developer = parts.key("developer")
    assert developer.post("runs:bulk", {"action": "delete", "filter": {"tag": "x"}}).status_code == 403
    assert counts(ended(me, accepted(me, action="delete", filter={"tag": "x"}))) == (2, 2, 0)
    assert me.get("runs?tag=x").json == {"items": [], "after": None}
    assert not stack.runs.exists("b")


def test_what_has_ended_already_needs_no_cancelling(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    uids = make(me, "a", "b", tags=["x"])
    finish(stack, "a")
    until(parts, "a", lambda row: row.phase == "Succeeded")
    assert counts(ended(me, accepted(me, action="cancel", filter={"tag": "x"}))) == (1, 1, 0)
    assert counts(ended(me, accepted(me, action="cancel", uids=uids))) == (2, 2, 0)


def test_nothing_that_matches_is_an_end_too(me: SignedIn) -> None:
    assert counts(ended(me, accepted(me, action="cancel", filter={"tag": "nobody"}))) == (0, 0, 0)


def test_a_key_of_some_tasks_acts_on_these_alone(parts: Parts, me: SignedIn) -> None:
    mine = make(me, "mine", taskRef={"name": "resize"}, tags=["x"])
    others = make(me, "other", taskRef={"name": "other"}, tags=["x"])
    key = parts.key("operator", tasks=["resize"])
    assert counts(ended(key, accepted(key, action="cancel", filter={"tag": "x"}))) == (1, 1, 0)
    operation = ended(key, accepted(key, action="cancel", uids=[*mine, *others]))
    assert counts(operation) == (2, 2, 1)
    assert operation["problems"] == [{"uid": others[0], "message": "This key is limited to other tasks."}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "cancel"},
        {"action": "burn", "uids": [NO_RUN]},
        {"action": ["cancel"], "uids": [NO_RUN]},
        {"action": "cancel", "uids": [NO_RUN], "filter": {"tag": "x"}},
        {"action": "cancel", "uids": []},
        {"action": "cancel", "uids": ["x"]},
        {"action": "cancel", "uids": [7]},
        {"action": "cancel", "uids": [NO_RUN] * 1001},
        {"action": "cancel", "filter": {}},
        {"action": "cancel", "filter": {"tag": ""}},
        {"action": "cancel", "filter": {"tag": "\x00"}},
        {"action": "cancel", "filter": {"tags": "x"}},
        {"action": "cancel", "filter": {"phase": ["Nope"]}},
        {"action": "cancel", "filter": {"phase": []}},
        {"action": "cancel", "filter": {"from": "yesterday"}},
        {"action": "cancel", "filter": {"tag": "x"}, "nonsense": 1},
    ],
)
def test_what_is_no_operation(shared_me: SignedIn, body: object) -> None:
    assert shared_me.post("runs:bulk", body).status_code == 422


def test_operations_of_other_projects_are_not_found(me: SignedIn) -> None:
    assert me.get("bulk/4711").status_code == 404
    assert me.post("bulk/4711:abort").status_code == 404
    assert me.get("bulk/x").status_code == 404


def test_an_operation_is_aborted(stack: Stack, parts: Parts, me: SignedIn) -> None:
    parts.app.extensions[WORKER].stop()  # no one works
    make(me, "a", tags=["x"])
    operation = accepted(me, action="cancel", filter={"tag": "x"})
    assert operation["state"] == "Running"
    answer: Any = me.post(f"bulk/{operation['id']}:abort").json
    assert (answer["state"], *counts(answer)) == ("Aborted", 1, 0, 0)
    assert me.post(f"bulk/{operation['id']}:abort").status_code == 409
    worker(stack, parts, look_seconds=0.05).wake()
    done = accepted(me, action="cancel", filter={"tag": "nobody"})
    assert ended(me, done)["state"] == "Finished"  # the worker has looked, and left the aborted one alone
    assert me.get(f"bulk/{operation['id']}").json == answer


def role_of(parts: Parts, email: str, role: Role | None) -> None:
    """Give a user another role in the project, None for none."""
    with parts.engine.begin() as connection:
        user = users.by_email(connection, email)
        assert user is not None
        if role is None:
            members.remove(connection, project=parts.project, user_id=user.id)
        else:
            members.put(connection, project=parts.project, user_id=user.id, role=int(role), by="tests")


@pytest.mark.parametrize("left", [None, Role.VIEWER], ids=["none", "viewer"])
def test_an_operation_ends_when_its_author_has_lost_the_right(
    stack: Stack, parts: Parts, me: SignedIn, left: Role | None
) -> None:
    uids = make(me, *(f"run-{number}" for number in range(5)))
    them = parts.member("operator")
    parts.app.extensions[WORKER].stop()  # it is accepted, and carried out later
    operation = accepted(them, action="cancel", uids=uids)
    role_of(parts, "operator@example.com", left)
    worker(stack, parts).wake()
    found = ended(me, operation)
    assert (found["state"], found["done"]) == ("Aborted", 0)
    assert not any(run["spec"].get("cancel") for run in stack.runs.kube.listed("taskruns.tidegate.dev"))


def test_an_operation_ends_when_its_key_is_revoked(stack: Stack, parts: Parts, me: SignedIn) -> None:
    uids = make(me, "run-1")
    key = parts.key("operator")
    parts.app.extensions[WORKER].stop()
    operation = accepted(key, action="cancel", uids=uids)
    assert me.call("DELETE", f"api-keys/{key.id}").status_code == 204
    worker(stack, parts).wake()
    assert ended(me, operation)["state"] == "Aborted"


def test_a_key_of_some_tasks_aborts_its_own_operations_alone(stack: Stack, parts: Parts, me: SignedIn) -> None:
    uids = make(me, "run-1")
    one, other = (parts.key("operator", tasks=["report"]) for _ in range(2))
    parts.app.extensions[WORKER].stop()
    operation = accepted(one, action="cancel", uids=uids)
    assert other.call("POST", f"bulk/{operation['id']}:abort").status_code == 403
    assert one.call("POST", f"bulk/{operation['id']}:abort").status_code == 200


def test_another_process_goes_on_where_one_died(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.app.extensions[WORKER].stop()
    make(me, *(f"run-{number}" for number in range(70)), tags=["x"])
    operation = accepted(me, action="replay", filter={"tag": "x"})
    dying = worker(stack, parts, look_seconds=0.05)

    def die(*_: object, **__: object) -> None:
        dying._stopped.set()
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        # It has done a piece and dies before it says so.
        broken.setattr("tidegate_web.store.queries.bulk.note", die)
        broken.setattr("tidegate_web.store.queries.bulk.give_back", lambda *_, **__: None)
        dying.wake()
        wait_until(lambda: not dying.is_alive(), what="its end")
    assert me.get(f"bulk/{operation['id']}").json["done"] == 0  # type: ignore[index]
    worker(stack, parts, silence_seconds=0.5, look_seconds=0.1).wake()
    assert counts(ended(me, operation)) == (70, 70, 0)
    # What was replayed twice came to one run.
    assert len(stack.runs.kube.names("taskruns.tidegate.dev")) == 140


def test_two_workers_at_once_do_each_thing_once(stack: Stack, parts: Parts, me: SignedIn) -> None:
    make(me, *(f"run-{number}" for number in range(40)), tags=["x"])
    for _ in range(3):
        worker(stack, parts, silence_seconds=0.001, look_seconds=0.01).wake()
    assert counts(ended(me, accepted(me, action="replay", filter={"tag": "x"}))) == (40, 40, 0)
    assert len(stack.runs.kube.names("taskruns.tidegate.dev")) == 80


def test_while_kubernetes_is_away_the_rest_waits(stack: Stack, proxy: FaultyProxy) -> None:
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    make(me, "a", "b", tags=["x"])
    with proxy.on(method="PATCH", path="/taskruns/").drop() as away:
        operation = accepted(me, action="cancel", filter={"tag": "x"})
        away.wait_hits(5)
        assert counts(me.get(f"bulk/{operation['id']}").json) == (2, 0, 0)
    assert counts(ended(me, operation)) == (2, 2, 0)


def test_postgres_may_go_in_the_middle(stack: Stack, parts: Parts, me: SignedIn) -> None:
    make(me, *(f"run-{number}" for number in range(60)), tags=["x"])
    operation = accepted(me, action="cancel", filter={"tag": "x"})
    stack.postgres.stop()
    stack.postgres.start()
    wait_until(lambda: me.get("runs").status_code == 200, what="Postgres")
    assert counts(ended(me, operation)) == (60, 60, 0)


def test_room_in_a_queue_is_waited_for(stack: Stack, me: SignedIn) -> None:
    stack.runs.queue("full", maxPending=2)
    uids = make(me, "a", queue="full")
    stack.runs.queue_status("full", pending=2)
    wait_until(lambda: me.post("runs/a:replay").status_code == 429, what="the queue to be full")
    operation = accepted(me, action="replay", uids=uids)
    assert me.get(f"bulk/{operation['id']}").json["state"] == "Running"  # type: ignore[index]
    stack.runs.queue_status("full", pending=0)
    assert counts(ended(me, operation)) == (1, 1, 0)


def test_an_item_with_which_the_act_breaks_stops_no_other(stack: Stack, parts: Parts, me: SignedIn) -> None:
    uids = make(me, "one", "odd", "two")
    with parts.engine.begin() as connection:
        # As no record of ours would have it.
        connection.execute(text("UPDATE runs SET spec = '[7]' WHERE name = 'odd'"))
    operation = ended(me, accepted(me, action="replay", uids=uids))
    assert counts(operation) == (3, 3, 1)
    assert [problem["uid"] for problem in operation["problems"]] == [uids[1]]
