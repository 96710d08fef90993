"""Every route: what it declares, and what it answers to strangers and to nonsense."""

import re

import pytest
from support.callers import SignedIn, WithKey
from support.web import Parts, Stack
from tidegate_web.shared.permissions import Permission, Role, permission_of

ROUTES = {
    Permission.PUBLIC: """
        GET /favicon.ico, GET /login/<provider>, GET /login/<provider>/callback, GET /login, POST /login, GET /forgot, POST /forgot, GET /password/<token>,
        POST /password/<token>, GET /invitations/<token>, POST /invitations/<token>, GET /api/v1/openapi.json
    """,
    Permission.SIGNED_IN: """
        GET /, GET /health, GET /api/v1/health, GET /api/v1/me, GET /api/v1/projects, GET /projects
    """,
    Permission.PERSON: """
        POST /logout, POST /api/v1/me/password, GET /api/v1/sessions, DELETE /api/v1/sessions,
        DELETE /api/v1/sessions/<id:session>, GET /account, POST /account, POST /account/run-columns
    """,
    Permission.VIEWER: """
        GET /api/v1/projects/<project>, GET /projects/<project>/runs, GET /projects/<project>/runs/<run>,
        GET /api/v1/projects/<project>/runs, GET /api/v1/projects/<project>/runs/<run>,
        GET /api/v1/projects/<project>/runs/<run>/attempts, GET /api/v1/projects/<project>/runs/<run>/logs,
        GET /api/v1/projects/<project>/runs/<run>/result, GET /api/v1/projects/<project>/runs/<run>/why,
        GET /api/v1/projects/<project>/runs/<run>/events, GET /api/v1/projects/<project>/settings,
        GET /api/v1/projects/<project>/<any(tasks, queues, schedules, pools):kind>,
        GET /api/v1/projects/<project>/<any(tasks, queues, schedules, pools):kind>/<name>,
        GET /api/v1/projects/<project>/stats, GET /api/v1/projects/<project>/batches,
        GET /api/v1/projects/<project>/bulk/<id:bulk>, GET /api/v1/projects/<project>/members, DELETE /api/v1/projects/<project>/members/me,
        GET /projects/<project>/runs/<run>/log, GET /projects/<project>/runs/<run>/graph, GET /projects/<project>/tasks, GET /projects/<project>/queues, GET /projects/<project>/schedules,
        GET /projects/<project>/tasks/<name>, GET /projects/<project>/queues/<name>, GET /projects/<project>/schedules/<name>,
        GET /projects/<project>/batches, GET /projects/<project>/pools, GET /projects/<project>/pools/<name>, GET /projects/<project>/overview, GET /projects/<project>/bulk/<id:bulk>,
        GET /projects/<project>/runs.csv, GET /projects/<project>/runs.json, GET /projects/<project>/views, POST /projects/<project>/views,
        GET /live/v1/projects/<project>/events, GET /live/v1/projects/<project>/runs/<run>/logs,
        GET /live/v1/projects/<project>/runs/<run>/wait
    """,
    Permission.OPERATOR: """
        POST /api/v1/projects/<project>/runs, POST /api/v1/projects/<project>/runs/<run>:cancel,
        POST /api/v1/projects/<project>/runs/<run>:replay, POST /api/v1/projects/<project>/runs/<run>:reschedule,
        POST /api/v1/projects/<project>/runs/<run>:<any(suspend, resume):act>,
        POST /projects/<project>/runs/<run>/<any(suspend, resume):act>,
        POST /projects/<project>/runs/<run>/cancel, POST /projects/<project>/runs/<run>/replay,
        GET /projects/<project>/runs/<run>/replay, POST /projects/<project>/runs/<run>/change,
        POST /projects/<project>/runs/<run>/replay/check, POST /projects/<project>/tasks/<name>/check,
        POST /projects/<project>/schedules/<name>/check,
        GET /projects/<project>/schedules/<name>/backfill, POST /projects/<project>/schedules/<name>/backfill,
        POST /api/v1/projects/<project>/runs:batch,
        POST /api/v1/projects/<project>/runs:bulk, POST /api/v1/projects/<project>/bulk/<id:bulk>:abort,
        POST /api/v1/projects/<project>/queues/<queue>:<any(pause, resume):act>,
        POST /api/v1/projects/<project>/schedules/<schedule>:trigger,
        POST /api/v1/projects/<project>/schedules/<schedule>:backfill, POST /projects/<project>/tasks,
        POST /projects/<project>/queues, POST /projects/<project>/schedules,
        POST /projects/<project>/tasks/<name>, POST /projects/<project>/queues/<name>, POST /projects/<project>/schedules/<name>,
        POST /projects/<project>/runs, POST /projects/<project>/bulk/<id:bulk>
    """,
    Permission.DEVELOPER: """
        PUT /api/v1/projects/<project>/<any(tasks, queues, schedules, pools):kind>/<name>,
        DELETE /api/v1/projects/<project>/<any(tasks, queues, schedules, pools):kind>/<name>,
        POST /api/v1/projects/<project>/schedules/<schedule>:<any(suspend, resume):act>,
        POST /projects/<project>/schedules/state, POST /projects/<project>/pools,
        GET /projects/<project>/<any(tasks, queues, schedules, pools):plural>:new, POST /projects/<project>/<any(tasks, queues, schedules, pools):plural>:new,
        GET /projects/<project>/<any(tasks, queues, schedules, pools):plural>/<name>/edit,
        POST /projects/<project>/<any(tasks, queues, schedules, pools):plural>/<name>/edit,
        POST /projects/<project>/<any(tasks, queues, schedules, pools):plural>:preview, POST /projects/<project>/tasks/<name>/schedule,
        GET /projects/<project>/<any(tasks, queues, schedules, pools):plural>/<name>/delete,
        POST /projects/<project>/<any(tasks, queues, schedules, pools):plural>/<name>/delete,
        POST /projects/<project>/queues/<name>/limits, POST /projects/<project>/schedules/<name>/state, POST /projects/<project>/pools/<name>
    """,
    Permission.ADMIN: """
        DELETE /api/v1/projects/<project>/runs/<run>,
        PUT /api/v1/projects/<project>/members/<id:user>, DELETE /api/v1/projects/<project>/members/<id:user>,
        GET /api/v1/projects/<project>/invitations, POST /api/v1/projects/<project>/invitations,
        DELETE /api/v1/projects/<project>/invitations/<id:invitation>, GET /api/v1/projects/<project>/api-keys,
        POST /api/v1/projects/<project>/api-keys, DELETE /api/v1/projects/<project>/api-keys/<id:key>,
        POST /api/v1/projects/<project>/api-keys/<id:key>:take-over,
        GET /api/v1/projects/<project>/audit, GET /projects/<project>/members, POST /projects/<project>/members,
        PUT /api/v1/projects/<project>/settings, GET /api/v1/projects/<project>/webhooks, POST /api/v1/projects/<project>/webhooks,
        GET /api/v1/projects/<project>/webhooks/<id:webhook>, PATCH /api/v1/projects/<project>/webhooks/<id:webhook>,
        DELETE /api/v1/projects/<project>/webhooks/<id:webhook>,
        POST /api/v1/projects/<project>/webhooks/<id:webhook>:rotate-secret,
        POST /api/v1/projects/<project>/webhooks/<id:webhook>:test,
        GET /api/v1/projects/<project>/webhooks/<id:webhook>/deliveries,
        POST /api/v1/projects/<project>/webhooks/<id:webhook>/deliveries/<id:delivery>:replay,
        GET /projects/<project>/webhooks, POST /projects/<project>/webhooks,
        GET /projects/<project>/webhooks/<id:webhook>, POST /projects/<project>/webhooks/<id:webhook>,
        GET /projects/<project>/keys, POST /projects/<project>/keys, GET /projects/<project>/audit,
        GET /projects/<project>/settings, POST /projects/<project>/settings
    """,
    Permission.INSTANCE_ADMIN: """
        GET /api/v1/users, POST /api/v1/users, GET /api/v1/users/<id:user>, PATCH /api/v1/users/<id:user>,
        POST /api/v1/users/<id:user>:reset-password, GET /api/v1/audit, GET /users, POST /users, GET /users/<id:user>, POST /users/<id:user>, GET /api/v1/users/<id:user>/api-keys, GET /audit, GET /usage,
        POST /api/v1/projects, POST /projects
    """,
    Permission.RUN_TOKEN: """
        POST /internal/v1/runs/<uid>/progress, PUT /internal/v1/runs/<uid>/result, POST /internal/v1/runs/<uid>/result,
        PUT /internal/v1/runs/<uid>/checkpoint, POST /internal/v1/runs/<uid>/checkpoint,
        GET /internal/v1/runs/<uid>/checkpoint, POST /internal/v1/runs/<uid>/metadata,
        POST /internal/v1/runs/<uid>/children, GET /internal/v1/runs/<uid>/children,
        GET /internal/v1/runs/<uid>/children/<child>,
        POST /internal/v1/runs/<uid>/children/<child>:cancel, GET /internal/v1/runs/<uid>/children/<child>/result
    """,
}
"""What each route asks for: written down here a second time, so that none changes unseen."""
EXPECTED = {
    route.strip(): permission
    for permission, routes in ROUTES.items()
    for route in re.findall(r"[A-Z]+ /(?:[^,<]|<[^>]*>)*", routes)
}
CHANGES_WHO_ASKS = ("POST /logout", "DELETE /api/v1/sessions", "DELETE /api/v1/projects/<project>/members/me")
LEAST = {
    Permission.VIEWER: Role.VIEWER,
    Permission.OPERATOR: Role.OPERATOR,
    Permission.DEVELOPER: Role.DEVELOPER,
    Permission.ADMIN: Role.ADMIN,
}


def declared(parts: Parts) -> dict[str, Permission | None]:
    """The routes there are."""
    return {
        f"{method} {rule.rule}": permission_of(app.view_functions[rule.endpoint])
        for app in (parts.app, parts.internal)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }


def test_every_route_declares_the_permission_that_it_should(parts: Parts) -> None:
    assert declared(parts) == EXPECTED


def should(permission: Permission, role: Role | None, *, person: bool, instance_admin: bool = False) -> bool:
    """Whether a user of this role may, written in another way than in the program."""
    if permission is Permission.SIGNED_IN or instance_admin:
        return True
    if permission is Permission.PERSON:
        return person
    return permission in LEAST and role is not None and role >= LEAST[permission]


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role.label if role else "nobody")
@pytest.mark.parametrize("person", [True, False], ids=["person", "key"])
def test_each_role_may_call_what_it_should_and_nothing_else(stack: Stack, role: Role | None, person: bool) -> None:
    parts = stack.parts("web")
    label = role.label if role else None
    # A key always has a role; one that has none here is a key of another project.
    asks: SignedIn | WithKey = parts.member(label) if person else parts.key(label or "admin")
    project = parts.project if role or person else "elsewhere"
    for route, permission in EXPECTED.items():
        if permission in (Permission.PUBLIC, Permission.RUN_TOKEN) or route in CHANGES_WHO_ASKS:
            continue
        method, rule = route.split(" ", 1)
        rule = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule)
        path = re.sub(r"<id:\w+>", "4711", rule.replace("<project>", project))
        answer = asks.call(method, re.sub(r"<\w+>", "x", path))
        answer.close()
        refused = answer.status_code in (401, 403)
        assert refused is not should(permission, role, person=person), f"{route}: {answer.status_code}"


def test_a_route_that_declares_nothing_is_refused(parts: Parts) -> None:
    parts.app.add_url_rule("/api/v1/forgotten", "forgotten", lambda: "secret")
    assert parts.client().get("/api/v1/forgotten").status_code == 403
    assert parts.sign_in().get("/api/v1/forgotten").status_code == 403


def test_strangers_get_nothing_but_the_public_routes(parts: Parts) -> None:
    rules = [(app, rule) for app in (parts.app, parts.internal) for rule in app.url_map.iter_rules()]
    for app, rule in rules:
        if rule.endpoint == "static" or permission_of(app.view_functions[rule.endpoint]) is Permission.PUBLIC:
            continue
        client = app.test_client()
        path = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)
        path = re.sub(r"<[^>]*>", "x", re.sub(r"<id:\w+>", "1", path))
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
        ("PUT", "/api/v1/me", 405),
        ("DELETE", "/api/v1/projects/any/webhooks/9007199254740992", 404),
        ("GET", "/api/v1/projects/any/runs/x:cancel", 405),
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
