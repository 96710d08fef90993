"""What no request may have: refused in words, the same on every route, and never a 500."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from support.callers import SignedIn
from support.web import Parts, Stack
from tidegate_web.shared.permissions import Permission, permission_of

Json = dict[str, Any]
TASK = {"image": "busybox"}


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


PATHS = {"nul": "%00", "half": "%ff%fe", "long": "x" * 3000, "dots": "..%2f..", "colon": "x:y", "astral": "\U0001f600"}
QUERIES = {
    "nul": "?after=%00&q=%00&limit=%00&from=%00&%00=1&phase=%00&tag=%00&attempt=%00&pod=%00&runs=%00",
    "numbers": "?limit=99999999999999999999&attempt=-1&after=1e308&from=9999-12-31T23:59:59-23:00&to=0001-01-01T00:00:00z",
    "halves": "?q=%ff&after=%ed%a0%80&tag=%ff&runs=%ff",
}
BODIES: dict[str, tuple[bytes, str]] = {
    "nul": (b'{"name": "x\\u0000", "a\\u0000": {"b": ["\\u0000"]}, "payload": {"a": "\\u0000"}}', "application/json"),
    "half": (b'{"name": "\\ud800", "spec": {"a": "\\udfff"}, "payload": {"\\ud800": 1}}', "application/json"),
    "deep": (f'{{"spec": {deep(600)}, "payload": {deep(600)}}}'.encode(), "application/json"),
    "deeper": (deep(5000).encode(), "application/json"),
    "deep lists": (b"[" * 5000 + b"]" * 5000, "application/json"),
    "malformed": (b'{"name": ', "application/json"),
    "no utf-8": (b'{"name": "\xff"}', "application/json"),
    "a list": (b"[]", "application/json"),
    "nothing": (b"", "application/json"),
    "constants": (b'{"progress": NaN, "payload": {"a": Infinity}}', "application/json"),
    "numbers": (b'{"priority": 1e308, "progress": 1e999, "retentionDays": 9223372036854775808}', "application/json"),
    "digits": (b'{"priority": ' + b"9" * 5000 + b"}", "application/json"),
    "another type": (b"<a/>", "application/xml"),
    "form": (
        b"name=%00&email=%00&password=%00&project=%00&payload=%00&act=%00&%00=1",
        "application/x-www-form-urlencoded",
    ),
    "no form": (b"%ff%fe=%ff;&&&=", "application/x-www-form-urlencoded"),
}


def routes(parts: Parts) -> list[tuple[str, str, Permission | None]]:
    """Method, rule and permission of each."""
    return [
        (method, rule.rule, permission_of(app.view_functions[rule.endpoint]))
        for app in (parts.app, parts.internal)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def path_of(rule: str, project: str, *, name: str) -> str:
    rule = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.replace("<project>", project))
    return re.sub(r"<[^>]*>", name, re.sub(r"<id:\w+>", "1", rule))


@pytest.fixture(scope="module")
def me(shared_me: SignedIn) -> SignedIn:
    return shared_me


def ends_it(method: str, rule: str) -> bool:
    """Whether it ends the session with which the walk goes on, or streams."""
    return (
        rule in ("/logout", "/api/v1/sessions") or (method, rule) == ("POST", "/account") or rule.startswith("/live/")
    )


def test_no_garbage_is_a_500_anywhere(stack: Stack, parts: Parts) -> None:
    me = parts.sign_in()
    wrong = []
    for method, rule, _ in routes(parts):
        if ends_it(method, rule):
            continue
        requests: list[tuple[str, bytes, str]] = [
            (path_of(rule, parts.project, name="x") + query, b"", "") for query in QUERIES.values()
        ]
        requests += [(path_of(rule, parts.project, name=name), b"", "") for name in PATHS.values()]
        requests += [(path_of(rule, name, name="x"), b"", "") for name in PATHS.values() if "<project>" in rule]
        if method != "GET":
            requests += [(path_of(rule, parts.project, name="x"), *body) for body in BODIES.values()]
        for path, body, kind in requests:
            headers = (
                {"X-CSRFToken": me.csrf, "Authorization": "Bearer x\x7f"}
                if rule.startswith("/internal")
                else {"X-CSRFToken": me.csrf}
            )
            client = parts.pods() if rule.startswith("/internal") else me.client
            answer = client.open(path, method=method, data=body, content_type=kind or None, headers=headers)
            answer.close()
            # 501: a run's token can't be looked at here; 502, 503: what the cluster says of the name.
            if answer.status_code == 500:
                wrong.append(f"{method} {path[:100]} {body[:60]!r}: {answer.status_code}")
    assert wrong == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "runs/%00"),
        ("DELETE", "runs/%00"),
        ("GET", "runs/%00/logs"),
        ("POST", "runs/%00:cancel"),
        ("GET", "/live/v1/projects/PROJECT/runs/%00/logs"),
        ("GET", "/live/v1/projects/PROJECT/events?tag=%00"),
        ("GET", "runs?q=a%00b"),
        ("GET", "runs?%00=1"),
        ("PUT", "tasks/%00"),
        ("GET", "/api/v1/projects/%00/runs"),
        ("GET", "/projects/PROJECT/runs/%00"),
    ],
)
def test_nul_in_path_or_query(me: SignedIn, method: str, path: str) -> None:
    answer = me.call(method, path.replace("PROJECT", me.project), {} if method != "GET" else None)
    assert answer.status_code == 422, answer.text
    assert "NUL" in answer.text


def problem(me: SignedIn, path: str, data: str | bytes, *, kind: str = "application/json") -> Json:
    answer = me.client.post(
        f"/api/v1/projects/{me.project}/{path}", data=data, content_type=kind, headers={"X-CSRFToken": me.csrf}
    )
    assert answer.content_type == "application/problem+json"
    found: Any = answer.json
    return dict(found)


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({"task": TASK, "payload": {"a": ["x", "\x00"]}}, 422, ["payload.a.1"]),
        ({"task": TASK, "payload": {"a\x00": 1}}, 422, ["payload.a\ufffd"]),
        ({"task": TASK, "payload": {"a": "\ud800"}}, 422, ["payload.a"]),
        ({"task": TASK, "priority": "x"}, 422, ["priority"]),
        ({"task": TASK, "priority": 5000}, 422, ["priority"]),
        ({"task": TASK, "priority": "x", "concurrencyKey": "k" * 129}, 422, ["concurrencyKey", "priority"]),
        ({"task": TASK, "notAField": 1}, 422, ["notAField"]),
        ({"task": TASK, "taskRef": {"name": "x"}}, 422, [""]),
        ({"task": TASK | {"timeoutSeconds": -1}}, 422, ["task.timeoutSeconds"]),
        ({"task": TASK, "ttlSecondsAfterFinished": 3_153_600_001}, 422, ["ttlSecondsAfterFinished"]),
        ({"task": TASK, "ttlSecondsAfterFinished": 2**63 - 1}, 422, ["ttlSecondsAfterFinished"]),
        ({"task": TASK, "deadlineSeconds": 31_536_001}, 422, ["deadlineSeconds"]),
        ({"task": TASK | {"retry": {"maxDelaySeconds": 31_536_001}}}, 422, ["task.retry.maxDelaySeconds"]),
        ({"task": TASK, "startAfter": "9999-01-01T00:00:00Z"}, 422, ["startAfter"]),
        ({"task": TASK, "startAfter": "1969-12-31T23:59:59Z"}, 422, ["startAfter"]),
        ({"task": TASK, "startAfter": "tomorrow"}, 422, ["startAfter"]),
    ],
)
def test_a_refusal_names_the_field_as_it_was_sent(me: SignedIn, body: Json, status: int, fields: list[str]) -> None:
    found = problem(me, "runs", json.dumps(body))
    assert found["status"] == status, found
    assert sorted(error["field"] for error in found["errors"]) == fields
    assert "<nil>" not in json.dumps(found)


def test_bounds_of_a_queue(me: SignedIn) -> None:
    spec = {"concurrencyLimit": 1_000_001, "rateLimit": {"runs": 1, "perSeconds": 300_000_000_000}}
    answer = me.call("PUT", "queues/q", {"spec": spec})
    assert answer.status_code == 422
    assert answer.json is not None
    assert [error["field"] for error in answer.json["errors"]] == ["spec.concurrencyLimit", "spec.rateLimit.perSeconds"]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b'{"task": ', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b"<a/>", "application/xml", 415),
        (deep(501).encode(), "application/json", 422),
        (deep(5000).encode(), "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
    ],
)
def test_what_is_no_body_of_ours(me: SignedIn, data: bytes, kind: str, status: int) -> None:
    assert problem(me, "runs", data, kind=kind)["status"] == status


def test_a_payload_of_500_levels_in_all_is_taken(stack: Stack, parts: Parts) -> None:
    body = f'{{"task": {json.dumps(TASK)}, "name": "deep", "payload": {deep(499)}}}'
    assert problem_or_run(parts.sign_in(), body) == 201


def problem_or_run(me: SignedIn, body: str) -> int:
    answer = me.client.post(
        f"/api/v1/projects/{me.project}/runs",
        data=body,
        content_type="application/json",
        headers={"X-CSRFToken": me.csrf},
    )
    return answer.status_code


def test_no_credential_is_401_before_anything_else(shared_parts: Parts) -> None:
    client = shared_parts.client()
    for method, rule, permission in routes(shared_parts):
        if permission in (None, Permission.PUBLIC, Permission.RUN_TOKEN) or not rule.startswith(("/api/", "/live/")):
            continue
        answer = client.open(path_of(rule, shared_parts.project, name="x"), method=method)
        assert answer.status_code == 401, f"{method} {rule}: {answer.status_code} {answer.text}"
        assert "CSRF" not in answer.text
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("command", ["serve", "all"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_can_read_that_its_body_is_too_large(
    stack: Stack, parts: Parts, tmp_path: Path, command: str, chunked: bool
) -> None:
    key = parts.key("operator").key
    with stack.process(command, actor="web", log=tmp_path / "log") as process:
        for path, credential, status in (("runs", key, 413), ("runs", "", 401), ("runs:batch", key, 413)):
            size = 40 * 1024 * 1024
            head = (
                f"POST /api/v1/projects/{stack.project}/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                + (f"Authorization: Bearer {credential}\r\n" if credential else "")
                + ("Transfer-Encoding: chunked\r\n\r\n" if chunked else f"Content-Length: {size}\r\n\r\n")
            )
            with socket.create_connection(("127.0.0.1", process.port), timeout=120) as client:
                client.sendall(head.encode())
                piece = b"x" * 65_536
                for _ in range(size // len(piece)):
                    client.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
                if chunked:
                    client.sendall(b"0\r\n\r\n")
                assert client.recv(65_536).startswith(f"HTTP/1.1 {status} ".encode())
