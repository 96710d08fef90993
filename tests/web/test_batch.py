"""Many runs in one call: all looked at before any is made, and an answer for each."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.callers import SignedIn
from support.servers import wait_until
from support.web import Parts, Stack, make_parts
from tidegate_web.runs.batch import CHECK_SECONDS
from tidegate_web.runs.schema_worker import SchemaWorker

RUN: dict[str, Any] = {"taskRef": {"name": "resize"}}


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def names_in_cluster(stack: Stack) -> list[str]:
    return stack.runs.kube.names("taskruns.tidegate.dev")


def test_a_thousand_runs_in_one_call(stack: Stack, parts: Parts, me: SignedIn) -> None:
    runs = [RUN | {"name": f"run-{number}", "batch": "b", "payload": {"n": number}} for number in range(1000)]
    answer = me.post("runs:batch", {"runs": runs})
    assert answer.status_code == 200, answer.text
    items: Any = answer.json["items"]  # type: ignore[index]
    assert [item["status"] for item in items] == [201] * 1000
    assert [item["run"]["name"] for item in items] == [run["name"] for run in runs]
    assert len(names_in_cluster(stack)) == 1000
    # What was answered can be read back at once.
    assert me.get("runs/run-999").json["spec"]["payload"] == {"n": 999}  # type: ignore[index]
    (row,) = parts.rows("SELECT outcome, detail FROM audit WHERE action = 'run.create-batch'")
    assert (row.outcome, row.detail["count"], len(row.detail["made"])) == ("done", 1000, 1000)


@pytest.mark.parametrize(
    ("bad", "status", "field"),
    [
        ({"taskRef": {"name": "x"}, "nonsense": 1}, 422, "runs.1.nonsense"),
        ({"taskRef": {"name": "x"}, "priority": 5000}, 422, "runs.1.priority"),
        ({"taskRef": {"name": "x"}, "task": {"image": "y"}}, 422, "runs.1"),
        ({}, 422, "runs.1"),
        (7, 422, "runs.1"),
        (RUN | {"name": "first"}, 422, "runs.1.name"),
        (RUN | {"name": "No Label"}, 422, "runs.1.name"),
        (RUN | {"payload": []}, 422, "runs.1.payload"),
        (RUN | {"payload": {"x": "x" * 140_000}}, 413, "runs.1"),
        (RUN | {"name": "x", "idempotencyKey": "k"}, 422, "runs.1.name"),
    ],
)
def test_one_that_is_wrong_stops_all_before_the_first_is_made(
    shared_me: SignedIn, bad: object, status: int, field: str
) -> None:
    answer = shared_me.post("runs:batch", {"runs": [RUN | {"name": "first"}, bad]})
    assert answer.status_code == status, answer.text
    assert answer.json is not None
    assert answer.json["errors"][0]["field"] == field
    assert shared_me.get("runs/first").status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"runs": []}, {"runs": {}}, {"runs": [RUN] * 1001}, {"runs": [RUN] * 10_000}, {"runs": [RUN], "x": 1}]
)
def test_what_is_no_batch(shared_me: SignedIn, body: object) -> None:
    assert shared_me.post("runs:batch", body).status_code == 422


def test_a_batch_may_be_larger_than_a_run_and_not_endless(shared_me: SignedIn) -> None:
    big = [RUN | {"payload": {"x": "x" * 120_000}, "nonsense": 1}] * 50
    assert shared_me.post("runs:batch", {"runs": big}).status_code == 422
    assert shared_me.post("runs:batch", {"runs": big * 4}).status_code == 413


def test_each_field_is_refused_by_role(parts: Parts) -> None:
    answer = parts.key("operator").post("runs:batch", {"runs": [RUN, RUN | {"env": []}]})
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["errors"][0]["field"] == "runs.1.env"


def test_what_the_cluster_refuses_is_reported_one_by_one(me: SignedIn) -> None:
    me.post("runs", RUN | {"name": "taken"})
    answer: Any = me.post("runs:batch", {"runs": [RUN | {"name": "taken"}, RUN | {"name": "free"}]}).json
    assert [item["status"] for item in answer["items"]] == [409, 201]
    assert answer["items"][0]["problem"]["status"] == 409


class SlowSchemas(SchemaWorker):
    """Checks that take a second each, as those of a large payload and a large schema do."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def mismatch(self, schema: Mapping[str, Any], payload: object) -> str | None:
        self.checks += 1
        threading.Event().wait(1)
        return super().mismatch(schema, payload)


def test_the_checks_of_a_batch_take_a_bounded_time(stack: Stack, parts: Parts) -> None:
    slow = SlowSchemas()
    stack.cleanup.callback(slow.close)
    made = make_parts(replace(parts.services, runs=replace(parts.services.runs, schemas=slow)), project=stack.project)
    stack.runs.task("report", image="busybox", payloadSchema={"type": "object"})
    runs = [{"name": f"run-{number}", "taskRef": {"name": "report"}} for number in range(30)]
    answer: Any = made.sign_in().post("runs:batch", {"runs": runs}).json
    assert [item["status"] for item in answer["items"]] == [201] * 30
    assert 1 <= slow.checks <= CHECK_SECONDS + 1


@pytest.mark.parametrize("name", [[], {}, 7, True, "", "Not A Name", "x" * 500])
def test_a_task_of_no_name_is_reported(stack: Stack, parts: Parts, me: SignedIn, name: object) -> None:
    body = {"taskRef": {"name": name}}
    limited = parts.key("operator", tasks=["report"])
    for asks in (me, limited):
        for path, sent in (("runs", body), ("runs:batch", {"runs": [body]})):
            answer = asks.post(path, sent)
            assert answer.status_code in (403, 422), answer.text


def test_a_queue_must_have_room_for_all(stack: Stack, me: SignedIn) -> None:
    stack.runs.queue("full", maxPending=3)
    stack.runs.queue_status("full", pending=1)
    run = RUN | {"queue": "full"}
    assert me.post("runs:batch", {"runs": [run] * 3}).status_code == 429
    assert names_in_cluster(stack) == []
    assert me.post("runs:batch", {"runs": [run] * 2}).status_code == 200


def test_items_have_idempotency_keys_of_their_own(stack: Stack, me: SignedIn) -> None:
    runs = [RUN | {"idempotencyKey": f"k{number}", "payload": {"n": number}} for number in range(20)]
    first: Any = me.post("runs:batch", {"runs": runs[:10]}).json
    again: Any = me.post("runs:batch", {"runs": runs}).json
    assert [item["status"] for item in again["items"]] == [200] * 10 + [201] * 10
    assert [item["run"]["uid"] for item in again["items"][:10]] == [item["run"]["uid"] for item in first["items"]]
    other: Any = me.post("runs:batch", {"runs": [runs[0] | {"payload": {}}, RUN | {"idempotencyKey": "k99"}]}).json
    assert [item["status"] for item in other["items"]] == [422, 201]
    assert len(names_in_cluster(stack)) == 21


def test_without_postgres_a_batch_without_keys_goes_on(stack: Stack, me: SignedIn) -> None:
    assert me.get("runs").status_code == 200
    stack.postgres.stop()
    answer: Any = me.post("runs:batch", {"runs": [RUN] * 3}).json
    assert [item["status"] for item in answer["items"]] == [201] * 3
    assert me.post("runs:batch", {"runs": [RUN | {"idempotencyKey": "k"}]}).status_code == 503
    stack.postgres.start()
    wait_until(lambda: me.get("runs").status_code == 200, what="Postgres")
