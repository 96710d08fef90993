"""Every route: what it declares, and what it answers to strangers and to nonsense."""

import re

import pytest
from support.web import Parts, SignedIn
from tidegate_web.permissions import Permission, permission_of


def test_every_route_declares_its_permission(parts: Parts) -> None:
    silent = [
        rule.rule
        for rule in parts.app.url_map.iter_rules()
        if rule.endpoint != "static" and permission_of(parts.app.view_functions[rule.endpoint]) is None
    ]
    assert silent == []


def test_a_route_that_declares_nothing_is_refused(parts: Parts) -> None:
    parts.app.add_url_rule("/api/v1/forgotten", "forgotten", lambda: "secret")
    assert parts.client().get("/api/v1/forgotten").status_code == 403
    assert parts.sign_in().get("/api/v1/forgotten").status_code == 403


def test_strangers_get_nothing_but_the_public_routes(parts: Parts) -> None:
    client = parts.client()
    for rule in parts.app.url_map.iter_rules():
        if rule.endpoint == "static" or permission_of(parts.app.view_functions[rule.endpoint]) is Permission.PUBLIC:
            continue
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)
        path = re.sub(r"<[^>]*>", "x", path)
        method = next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        answer = client.open(path, method=method)
        # A form without its token is refused before anything else.
        assert answer.status_code in (302, 401, 403, 501), f"{method} {path}: {answer.status_code}"
        if answer.status_code == 302:
            assert answer.headers["Location"].startswith("/login"), path


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/nothing", 404),
        ("PUT", "/api/v1/me", 404),
        ("GET", "/internal/v1/nothing", 404),
        ("GET", "/live/v1/nothing", 404),
    ],
)
def test_unknown_calls_are_problems(shared_me: SignedIn, method: str, path: str, status: int) -> None:
    answer = shared_me.client.open(path, method=method, headers={"X-CSRFToken": shared_me.csrf})
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["status"] == status


def test_pages_send_a_policy_that_allows_nothing_from_elsewhere(parts: Parts) -> None:
    for answer in (parts.client().get("/login"), parts.sign_in().get(f"/projects/{parts.project}/runs")):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"""(?:src|href)=["']?https?:""", answer.text)
        assert " style=" not in answer.text
        assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)


def test_unknown_pages_look_like_ours(parts: Parts) -> None:
    answer = parts.sign_in().get("/no/such/page")
    assert answer.status_code == 404
    assert "Tidegate" in answer.text
    assert parts.sign_in().get("/projects/no-such-project/runs").status_code == 404
