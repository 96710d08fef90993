"""API keys: shown once, kept as a hash, good for one project, one role and, when so made, for some tasks."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.callers import SignedIn
from support.web import Parts, Stack

TASK = {"image": "busybox", "command": ["true"]}


def test_a_key_is_shown_once_and_kept_as_a_hash(parts: Parts) -> None:
    key = parts.key("operator")
    assert re.fullmatch(r"tg_[0-9A-Za-z]{32}", key.key)
    (row,) = parts.rows("SELECT * FROM api_keys")
    assert key.key not in str(row)
    listed: Any = parts.sign_in().get("api-keys").json
    assert [item["prefix"] for item in listed["items"]] == [key.key[:11]]
    assert key.key not in str(listed)
    (entry,) = parts.rows("SELECT target, detail FROM audit WHERE action = 'api-key.create'")
    assert entry.target == key.key[:11]
    assert key.key not in str(entry)


@pytest.mark.quick
def test_a_key_says_who_it_is_and_runs_tasks_without_a_csrf_token(stack: Stack, parts: Parts) -> None:
    key = parts.key("operator")
    reported: Any = key.get("/api/v1/me").json
    assert reported["kind"] == "api-key"
    assert reported["roles"] == {parts.project: "operator"}
    answer = key.post("runs", {"taskRef": {"name": "resize"}, "name": "by-key"})
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    assert answer.json["requestedBy"] == {"name": f"api-key:{key.key[:11]}", "verified": True}
    projects: Any = key.get("/api/v1/projects").json
    assert projects["items"] == [{"name": stack.project, "role": "operator"}]


def test_a_key_is_found_by_its_beginning(parts: Parts) -> None:
    first, second = parts.key("viewer"), parts.key("viewer")
    me = parts.sign_in()
    for text in (first.key[:11], first.key[3:9], first.key):
        found: Any = me.get(f"api-keys?prefix={text}").json
        assert [item["id"] for item in found["items"]] == [first.id]
    assert second.id != first.id
    assert me.get("api-keys?prefix=%25").json == {"items": []}


def test_a_key_opens_its_own_project_alone(parts: Parts, shared_parts: Parts) -> None:
    key = parts.key("admin")
    assert key.get(f"/api/v1/projects/{shared_parts.project}/runs").status_code == 403
    assert key.get("/api/v1/users").status_code == 403
    assert key.get("/api/v1/sessions").status_code == 403
    assert key.get("/api/v1/audit").status_code == 403
    assert key.get("audit").status_code == 200


def test_revoked_and_expired_keys_are_refused_at_once(parts: Parts) -> None:
    revoked = parts.key("viewer")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    expired = parts.key("viewer", expiresAt=soon)
    assert revoked.get("runs").status_code == expired.get("runs").status_code == 200
    me = parts.sign_in()
    assert me.call("DELETE", f"api-keys/{revoked.id}").status_code == 204
    assert me.call("DELETE", f"api-keys/{revoked.id}").status_code == 404
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET expires = now() - interval '1 second'")
    for key in (revoked, expired):
        answer = key.get("runs")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_text_that_no_store_takes_is_refused_in_queries(parts: Parts) -> None:
    me = parts.sign_in()
    for query in ("api-keys?prefix=%00", "audit?actor=%00", "/api/v1/audit?project=%00", "runs/x/logs?pod=%00"):
        assert me.get(query).status_code in (404, 422), query
    assert me.get("api-keys?prefix=%00").status_code == 422


def test_the_last_use_of_a_key_is_shown(parts: Parts) -> None:
    key = parts.key("viewer")
    me = parts.sign_in()
    assert me.get("api-keys").json["items"][0]["lastUsedAt"] is None  # type: ignore[index]
    key.get("runs")
    assert me.get("api-keys").json["items"][0]["lastUsedAt"] is not None  # type: ignore[index]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic dGc6eA==", "Bearer tg_" + "A" * 32, "Bearer tg_" + "A" * 5000, "bearer tg_\x00"],
)
def test_a_bad_key_is_refused_and_no_cookie_stands_in_for_it(shared_me: SignedIn, header: str) -> None:
    answer = shared_me.client.get("/api/v1/me", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        {"role": "operator"},
        {"name": "x", "role": "owner"},
        {"name": "x", "role": "viewer", "tasks": []},
        {"name": "x", "role": "viewer", "tasks": ["Not A Label"]},
        {"name": "x", "role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"},
        {"name": "x", "role": "viewer", "expiresAt": "tomorrow"},
        {"name": "x", "role": "viewer", "expiresAt": 4_000_000_000},
        {"name": "x", "role": "viewer", "key": "tg_chosen"},
    ],
)
def test_what_is_wrong_with_a_key_is_reported(shared_me: SignedIn, body: object) -> None:
    assert shared_me.post("api-keys", body).status_code == 422


def test_an_operators_key_sends_what_the_contract_names_and_nothing_else(parts: Parts) -> None:
    key = parts.key("operator")
    refused = {
        "task": TASK,
        "env": [],
        "resources": {},
        "retry": {},
        "labels": {},
        "ttlSecondsAfterFinished": 1,
        "dependencyTimeoutSeconds": 1,
        "parentRun": "x",
        "cancel": True,
        "nonsense": 1,
    }
    answer = key.post("runs", {"taskRef": {"name": "resize"}} | refused)
    assert answer.status_code == 403
    assert answer.json is not None
    assert {error["field"] for error in answer.json["errors"]} == set(refused)
    allowed = {
        "taskRef": {"name": "resize"},
        "name": "all-that-may-be-sent",
        "payload": {},
        "queue": "q",
        "concurrencyKey": "k",
        "priority": 1,
        "suspend": True,
        "startAfter": "2026-01-01T00:00:00Z",
        "timeoutSeconds": 1,
        "startTimeoutSeconds": 1,
        "deadlineSeconds": 1,
        "startDeadlineSeconds": 1,
        "dependsOn": [],
        "tags": ["t"],
        "batch": "b",
    }
    assert key.post("runs", allowed).status_code == 201


def test_a_key_of_some_tasks_starts_and_cancels_these_alone(parts: Parts) -> None:
    me, key = parts.sign_in(), parts.key("developer", tasks=["resize"])
    assert key.post("runs", {"taskRef": {"name": "resize"}, "name": "mine"}).status_code == 201
    assert key.post("runs", {"taskRef": {"name": "other"}}).status_code == 403
    assert key.post("runs", {"task": TASK}).status_code == 403
    me.post("runs", {"taskRef": {"name": "other"}, "name": "not-mine"})
    me.post("runs", {"task": TASK, "name": "inline"})
    assert key.post("runs/mine:cancel").status_code == 202
    assert key.post("runs/not-mine:cancel").status_code == 403
    assert key.post("runs/inline:cancel").status_code == 403
    assert key.get("runs/not-mine").status_code == 200  # it reads what its role reads


def test_a_key_of_some_tasks_makes_nothing_that_its_list_would_not_hold(parts: Parts) -> None:
    key = parts.key("admin", tasks=["resize"])
    for method, path, body in (
        ("POST", "api-keys", {"name": "wider", "role": "admin"}),
        ("POST", "webhooks", {"url": "https://example.com"}),
        ("PUT", "tasks/resize", {"spec": {"image": "busybox"}}),
        ("PUT", "settings", {"retentionDays": 1}),
        ("POST", "invitations", {"email": "a@b", "role": "admin"}),
    ):
        assert key.call(method, path, body).status_code == 403, path


def test_while_postgres_is_away_a_key_seen_lately_still_starts_runs(stack: Stack) -> None:
    parts = stack.parts("web")
    seen, unseen = parts.key("operator"), parts.key("operator")
    assert seen.get("runs").status_code == 200
    stack.postgres.stop()
    answer = seen.post("runs", {"taskRef": {"name": "resize"}, "name": "meanwhile"})
    assert answer.status_code == 201, answer.text
    assert stack.runs.get("meanwhile")["metadata"]["name"] == "meanwhile"
    assert unseen.post("runs", {"taskRef": {"name": "resize"}}).status_code == 503
    stack.postgres.start()
