"""Idempotency keys: one run, whatever is sent again and whichever process died in between."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.callers import SignedIn
from support.proxy import FaultyProxy
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, finish, until
from tidegate_web.cluster.client import Cluster
from tidegate_web.store import partitions
from werkzeug.test import TestResponse

BODY: dict[str, Any] = {"taskRef": {"name": "resize"}, "payload": {"n": 1}}


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def post(me: SignedIn, body: object = None, *, key: str = "order-17") -> TestResponse:
    return me.post("runs", BODY if body is None else body, headers={"Idempotency-Key": key})


def names_in_cluster(stack: Stack) -> list[str]:
    return stack.runs.kube.names("taskruns.tidegate.dev")


def grow_older(parts: Parts, *, days: int) -> None:
    """Everything that is kept was made so much earlier."""
    with parts.engine.begin() as connection:
        partitions.ensure(connection, [datetime.now(UTC) - timedelta(days=days)])
        for table in ("runs", "run_keys", "idempotency_keys"):
            older = f"UPDATE {table} SET created = created - make_interval(days => :days)"  # noqa: S608 - our own names
            connection.execute(text(older), {"days": days})


def test_the_first_run_is_answered_again(stack: Stack, me: SignedIn) -> None:
    first, second = post(me), post(me)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json is not None
    assert second.json == first.json
    digest = hashlib.sha256(f"{stack.project}/resize/order-17".encode()).hexdigest()[:16]
    assert first.json["name"] == f"resize-{digest}"
    assert first.json["spec"]["idempotencyKey"] == "order-17"
    assert second.headers["Location"] == first.headers["Location"]
    assert len(names_in_cluster(stack)) == 1


def test_the_field_of_the_spec_is_the_header(stack: Stack, me: SignedIn) -> None:
    assert me.post("runs", BODY | {"idempotencyKey": "order-17"}).status_code == 201
    assert post(me).status_code == 200
    assert post(me, BODY | {"idempotencyKey": "order-17"}).status_code == 200
    assert post(me, BODY | {"idempotencyKey": "order-18"}).status_code == 422
    assert len(names_in_cluster(stack)) == 1


def test_another_body_is_refused_and_another_task_or_key_is_another_run(me: SignedIn) -> None:
    assert post(me).status_code == 201
    answer = post(me, BODY | {"payload": {"n": 2}})
    assert answer.status_code == 422
    assert answer.json is not None
    assert "another body" in answer.json["detail"]
    assert post(me, BODY | {"taskRef": {"name": "other"}}).status_code == 201
    assert post(me, key="order-18").status_code == 201


def test_a_client_that_computes_its_delay_again_gets_the_first_run_with_its_time(stack: Stack, me: SignedIn) -> None:
    first = post(me, BODY | {"startAfter": "2099-01-01T00:00:00Z"})
    assert first.status_code == 201
    for other in ({"startAfter": "2099-01-01T00:00:07Z"}, {"startAfter": None}, {}):
        again = post(me, BODY | other)
        assert again.status_code == 200, again.text
        assert again.json == first.json
    batch: Any = me.post(
        "runs:batch", {"runs": [BODY | {"idempotencyKey": "order-17", "startAfter": "2099-01-01T00:00:09Z"}]}
    ).json
    assert [item["status"] for item in batch["items"]] == [200]
    (name,) = names_in_cluster(stack)
    spec = stack.runs.get(name)["spec"]
    assert spec["startAfter"] == "2099-01-01T00:00:00Z"
    assert post(me, BODY | {"startAfter": "2099-01-01T00:00:00Z", "priority": 7}).status_code == 422


def test_an_inline_task_has_keys_too(me: SignedIn) -> None:
    body = {"task": {"image": "busybox", "command": ["true"]}}
    first = post(me, body)
    assert first.status_code == 201
    assert first.json is not None
    assert first.json["name"].startswith("run-")
    assert post(me, body).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 257, "caf\u00e9", "tab\there"])
def test_what_is_no_key_is_refused(shared_me: SignedIn, key: str) -> None:
    assert shared_me.post("runs", BODY | {"idempotencyKey": key}).status_code == 422


def test_a_name_beside_a_key_is_refused(shared_me: SignedIn) -> None:
    assert post(shared_me, BODY | {"name": "mine"}).status_code == 422
    assert shared_me.post("runs", BODY | {"idempotencyKey": 7}).status_code == 422


def test_two_at_once_make_one_run(stack: Stack, parts: Parts) -> None:
    people = [parts.sign_in() for _ in range(6)]
    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = list(pool.map(post, people))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json["uid"] for answer in answers if answer.json}) == 1
    assert len(names_in_cluster(stack)) == 1


def test_a_key_that_was_reserved_by_one_who_died_makes_its_run(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(Cluster, "create_run", lambda *_, **__: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            post(me)
    assert [tuple(row) for row in parts.rows("SELECT key, run_uid FROM idempotency_keys")] == [("order-17", None)]
    assert names_in_cluster(stack) == []
    assert post(me).status_code == 201
    assert post(me).status_code == 200


def test_a_run_whose_maker_died_is_met(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Cluster.create_run

    def create_and_die(cluster: Cluster, project: str, body: dict[str, Any]) -> dict[str, Any]:
        create(cluster, project, body)
        raise SystemExit("killed")

    with monkeypatch.context() as dying:
        dying.setattr(Cluster, "create_run", create_and_die)
        with pytest.raises(SystemExit):
            post(me)
    assert len(names_in_cluster(stack)) == 1
    assert post(me, BODY | {"payload": {"n": 2}}).status_code == 422
    assert post(me).status_code == 200
    assert post(me).status_code == 200
    (row,) = parts.rows("SELECT run_uid FROM idempotency_keys")
    assert row.run_uid is not None
    assert len(names_in_cluster(stack)) == 1


def test_a_run_whose_maker_died_is_met_in_the_archive_too(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    first = post(me)
    assert first.json is not None
    with parts.engine.begin() as connection:
        connection.execute(text("UPDATE idempotency_keys SET run_uid = NULL"))
    finish(stack, first.json["name"], ttl=0)
    until(parts, first.json["name"], lambda row: row.deleted_at is not None)
    answer = post(me)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["uid"] == first.json["uid"]
    assert names_in_cluster(stack) == []


def test_a_deleted_run_is_still_the_one_of_its_key(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    first = post(me)
    assert first.json is not None
    stack.runs.delete(first.json["name"])
    until(parts, first.json["name"], lambda row: row.deleted_at is not None)
    answer = post(me)
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["uid"], answer.json["reason"]) == (first.json["uid"], "Deleted")
    assert post(me, BODY | {"payload": {}}).status_code == 422


def test_a_run_made_without_the_api_is_met(stack: Stack, me: SignedIn) -> None:
    digest = hashlib.sha256(f"{stack.project}/resize/order-17".encode()).hexdigest()[:16]
    made = stack.runs.create(f"resize-{digest}", idempotencyKey="order-17", **BODY)
    assert post(me, BODY | {"queue": "elsewhere"}).status_code == 422
    answer = post(me)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert answer.json["uid"] == made["metadata"]["uid"]
    assert answer.json["requestedBy"] is None


def test_another_body_than_that_of_a_run_made_without_the_api_stays_refused(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    digest = hashlib.sha256(f"{stack.project}/resize/order-17".encode()).hexdigest()[:16]
    stack.runs.create(f"resize-{digest}", idempotencyKey="order-17", **BODY)
    until(parts, f"resize-{digest}", lambda row: True)
    assert [post(me, BODY | {"queue": "elsewhere"}).status_code for _ in range(2)] == [422, 422]
    assert post(me).status_code == 200


def test_a_run_that_only_has_the_name_is_not_met(stack: Stack, me: SignedIn) -> None:
    digest = hashlib.sha256(f"{stack.project}/resize/order-17".encode()).hexdigest()[:16]
    stack.runs.create(f"resize-{digest}", **BODY)
    assert post(me).status_code == 409


def test_a_refused_body_does_not_use_up_its_key(me: SignedIn) -> None:
    assert post(me, BODY | {"priority": 5000}).status_code == 422
    assert post(me, BODY | {"priority": 50}).status_code == 201


def test_a_full_queue_does_not_use_up_the_key_nor_hide_what_is_there(stack: Stack, me: SignedIn) -> None:
    stack.runs.queue("full", maxPending=1)
    body = BODY | {"queue": "full"}
    assert post(me, body).status_code == 201
    stack.runs.queue_status("full", pending=1)
    wait_until(lambda: me.post("runs", body).status_code == 429, what="the queue to be full")
    assert post(me, body, key="order-18").status_code == 429
    assert post(me, body).status_code == 200
    stack.runs.queue_status("full", pending=0)
    wait_until(lambda: post(me, body, key="order-18").status_code == 201, what="room in the queue")


def test_a_key_is_forgotten_after_thirty_days(stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread) -> None:
    assert mirror.is_alive()
    first = post(me)
    assert first.json is not None
    stack.runs.delete(first.json["name"])
    until(parts, first.json["name"], lambda row: row.deleted_at is not None)

    grow_older(parts, days=29)
    assert post(me).status_code == 200
    grow_older(parts, days=1)
    wait_until(lambda: parts.rows("SELECT * FROM idempotency_keys") == [], what="the key to be forgotten")
    answer = post(me, BODY | {"payload": {"n": 2}})
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["uid"] != first.json["uid"]


def test_an_expired_key_that_is_not_swept_yet_is_free(stack: Stack, parts: Parts, me: SignedIn) -> None:
    first = post(me)
    assert first.json is not None
    stack.runs.delete(first.json["name"])
    grow_older(parts, days=30)
    assert post(me, BODY | {"payload": {"n": 2}}).status_code == 201


def test_keys_need_the_database_and_nothing_else_does(stack: Stack, parts: Parts, me: SignedIn) -> None:
    assert me.get("runs").status_code == 200
    stack.postgres.stop()
    answer = post(me)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert me.post("runs", BODY).status_code == 201
    stack.postgres.start()
    assert post(me).status_code == 201


@pytest.mark.parametrize("carried_out", [False, True])
def test_while_kubernetes_does_not_answer_the_key_stays_reserved(
    stack: Stack, proxy: FaultyProxy, carried_out: bool
) -> None:
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    rule = proxy.on(method="POST", path="/taskruns")
    with rule.forward_then_drop() if carried_out else rule.drop():
        assert post(me).status_code == 503
    assert len(names_in_cluster(stack)) == carried_out
    # Whether it was made is not known: only the same may be sent again.
    assert post(me, BODY | {"payload": {"n": 2}}).status_code == 422
    assert post(me).status_code == (200 if carried_out else 201)
    assert len(names_in_cluster(stack)) == 1
