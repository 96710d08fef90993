"""What pods store: results, checkpoints and metadata, committed before they are answered."""

import hashlib
import json
import threading
from typing import Any

import pytest
from support.pods import Pod
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, until
from tidegate_web.internal.views import MAX_CHECKPOINT_BYTES, MAX_RESULT_BYTES


@pytest.fixture
def pod(stack: Stack, parts: Parts) -> Pod:
    return Pod(stack, parts)


@pytest.fixture(scope="module")
def shared_pod(shared_stack: Stack, shared_parts: Parts) -> Pod:
    return Pod(shared_stack, shared_parts)


def ended(stack: Stack, pod: Pod, reference: Any) -> None:
    """The run's status, as the operator writes it from the pod's termination log."""
    stack.runs.status(
        pod.run["metadata"]["name"], phase="Succeeded", finishedAt="2026-11-24T12:00:00Z", resultRef=reference
    )


def test_a_stored_result_is_served_as_it_was_sent(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    data = b'{"rows": [1, 2.50, null], "text": "\\u0000 and \xc3\xbc"}'
    answer = pod.send("result", data)
    assert answer.status_code == 200
    reference = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert answer.json == reference
    me = parts.sign_in()
    until(parts, "works", lambda row: True)
    assert me.get("runs/works/result").status_code == 404  # nothing refers to it yet
    ended(stack, pod, reference)
    until(parts, "works", lambda row: row.phase == "Succeeded")
    got = me.get("runs/works/result")
    assert (got.status_code, got.data, got.mimetype) == (200, data, "application/json")


def test_the_largest_result(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    data = b'"' + b"x" * (MAX_RESULT_BYTES - 2) + b'"'
    answer = pod.send("result", data, method="POST")
    assert answer.status_code == 200, answer.text
    ended(stack, pod, answer.json)
    until(parts, "works", lambda row: row.phase == "Succeeded")
    assert parts.sign_in().get("runs/works/result").data == data


def test_a_result_sent_again_takes_the_place_of_the_first(
    stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod
) -> None:
    first: Any = pod.send("result", b'{"take": 1}').json
    second: Any = pod.send("result", b'{"take": 2}').json
    assert pod.send("result", b'{"take": 2}').json == second
    assert len(parts.rows("SELECT * FROM results")) == 1
    ended(stack, pod, first)
    until(parts, "works", lambda row: row.phase == "Succeeded")
    # What a status refers to is served, or nothing.
    answer = parts.sign_in().get("runs/works/result")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_each_attempt_has_its_own_result(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    pod.send("result", b'"first attempt"')
    second = Pod(stack, parts, attempt=2, run=pod.run)
    reference = second.send("result", b'"second attempt"').json
    ended(stack, pod, reference)
    until(parts, "works", lambda row: row.phase == "Succeeded")
    assert parts.sign_in().get("runs/works/result").json == "second attempt"


@pytest.mark.parametrize("data", [b"1", b"null", b'"x"', b"[]", b"1" * 5000, b'"\\ud800"', b"-0.0e10"])
def test_any_json_is_a_result(shared_pod: Pod, data: bytes) -> None:
    assert shared_pod.send("result", data).status_code == 200


@pytest.mark.parametrize("what", ["result", "checkpoint"])
@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"{", 400), (b"NaN", 400), (b"\xff", 400), (b"[" * 200_000, 400), (b"{} {}", 400)],
)  # fmt: skip
def test_what_is_no_json(shared_pod: Pod, what: str, data: bytes, status: int) -> None:
    answer = shared_pod.send(what, data)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(("what", "limit"), [("result", MAX_RESULT_BYTES), ("checkpoint", MAX_CHECKPOINT_BYTES)])
def test_what_is_too_large(shared_pod: Pod, what: str, limit: int) -> None:
    answer = shared_pod.send(what, b'"' + b"x" * (limit - 1) + b'"')
    assert answer.status_code == 413
    assert answer.content_type == "application/problem+json"


def test_other_media_types(shared_pod: Pod) -> None:
    for what in ("result", "checkpoint"):
        assert shared_pod.call("PUT", what, data=b"{}", content_type="text/plain").status_code == 415


@pytest.mark.parametrize("method", ["PUT", "POST", "GET"])
@pytest.mark.parametrize("what", ["result", "checkpoint", "metadata", "children"])
def test_every_call_wants_the_token_of_the_run(shared_stack: Stack, shared_pod: Pod, what: str, method: str) -> None:
    other = "00000000-0000-4000-8000-000000000000"
    wrong: list[tuple[int, dict[str, Any]]] = [
        (401, {"token": ""}),
        (403, {"token": "nonsense"}),
        (403, {"uid": other}),
    ]
    for status, options in wrong:
        answer = shared_pod.call(method, what, json={"set": {"x": 1}}, **options)
        assert answer.status_code in (status, 405), (what, method)


def test_postgres_away_is_reported_and_what_is_answered_is_there(
    stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod
) -> None:
    until(parts, "works", lambda row: True)
    assert pod.send("checkpoint", b"1").status_code == 204
    stack.postgres.stop()
    for answer in (
        pod.send("result", b"1"),
        pod.send("checkpoint", b"2"),
        pod.call("GET", "checkpoint"),
        pod.call("POST", "metadata", json={"set": {"x": 1}}),
        pod.call("GET", "children"),
    ):
        assert answer.status_code == 503
        assert answer.content_type == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
    stack.postgres.start()
    assert pod.call("GET", "checkpoint").data == b"1"
    reference = pod.send("result", b"1").json
    ended(stack, pod, reference)
    until(parts, "works", lambda row: row.phase == "Succeeded")
    assert parts.sign_in().get("runs/works/result").json == 1


def test_the_next_attempt_gets_the_last_checkpoint(stack: Stack, parts: Parts, pod: Pod) -> None:
    assert pod.call("GET", "checkpoint").status_code == 404
    assert pod.send("checkpoint", b'{"done": 1}').status_code == 204
    assert pod.send("checkpoint", b'{"done": 2}', method="POST").status_code == 204
    second = Pod(stack, parts, attempt=2, run=pod.run)
    answer = second.call("GET", "checkpoint")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, b'{"done": 2}', "application/json")


def test_an_older_attempt_writes_over_no_newer_ones_checkpoint(stack: Stack, parts: Parts, pod: Pod) -> None:
    second = Pod(stack, parts, attempt=2, run=pod.run)
    assert second.send("checkpoint", b'"newer"').status_code == 204
    assert pod.send("checkpoint", b'"older"').status_code == 409
    assert second.call("GET", "checkpoint").data == b'"newer"'


def test_metadata_is_shown_and_published(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    until(parts, "works", lambda row: True)
    wait_until(lambda: parts.rows("SELECT * FROM outbox") == [], what="an empty outbox")
    before = parts.services.events.last(stack.project)
    answer = pod.call(
        "POST", "metadata", json={"set": {"rows": 1}, "append": {"files": "a\x00"}, "increment": {"rows": 2}}
    )
    assert answer.status_code == 200
    assert answer.json == {"metadata": {"rows": 3, "files": ["a\ufffd"]}}
    me = parts.sign_in()
    run: Any = me.get("runs/works").json
    assert run["metadata"] == {"rows": 3, "files": ["a\ufffd"]}
    assert "Metadata" in me.get(f"/projects/{stack.project}/runs/works").text
    wait_until(lambda: parts.services.events.last(stack.project) > before, what="the event")
    events = parts.services.events.after(stack.project, before)
    assert events is not None
    reported = json.loads(events[0][1])
    assert (reported["uid"], reported["phase"], reported["metadata"]) == (pod.uid, None, ["files", "rows"])


def test_what_is_wrong_with_metadata_changes_nothing(parts: Parts, pod: Pod) -> None:
    assert pod.call("POST", "metadata", json={"set": {"x": "text"}}).status_code == 200
    bodies: list[Any] = [{}, [], {"set": {"y": 1}, "increment": {"x": 1}}, {"set": {"big": "x" * 65_536}}]
    for body in bodies:
        answer = pod.call("POST", "metadata", json=body)
        assert answer.status_code == 422, body
        assert answer.content_type == "application/problem+json"
    for data in (b'{"set": {"x": 1e999}}', b'{"set": {"x": "\\ud800"}}', b'{"set": {"\\ud800": 1}}'):
        assert pod.send("metadata", data, method="POST").status_code == 422
    assert [row.data for row in parts.rows("SELECT data FROM run_metadata")] == [{"x": "text"}]


def test_many_that_count_at_once_lose_nothing(parts: Parts, pod: Pod) -> None:
    statuses: list[int] = []

    def count() -> None:
        statuses.extend(pod.call("POST", "metadata", json={"increment": {"n": 1}}).status_code for _ in range(10))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40
    assert [row.data for row in parts.rows("SELECT data FROM run_metadata")] == [{"n": 40}]


def test_results_outlive_the_cluster(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    reference = pod.send("result", b'"kept"').json
    pod.call("POST", "metadata", json={"set": {"x": 1}})
    ended(stack, pod, reference)
    until(parts, "works", lambda row: row.phase == "Succeeded")  # the mirror has begun
    stack.runs.delete("works")
    until(parts, "works", lambda row: row.deleted_at is not None)
    me = parts.sign_in()
    assert me.get("runs/works/result").json == "kept"
    run: Any = me.get("runs/works").json
    assert run["metadata"] == {"x": 1}
