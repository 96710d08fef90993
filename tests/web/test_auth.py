"""Sign-in: sessions on the server, CSRF, throttling, and where one is sent afterwards."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import text
from support.callers import csrf_token
from support.web import EMAIL, PASSWORD, Parts, Stack, cheap_hasher
from tidegate_web.auth.passwords import Passwords


def login(parts: Parts, *, password: str = PASSWORD, target: str = "", email: str = EMAIL) -> tuple[int, str]:
    client = parts.client()
    token = csrf_token(client.get("/login"))
    answer = client.post("/login", data={"email": email, "password": password, "csrf_token": token, "next": target})
    return answer.status_code, answer.headers.get("Location", "")


def test_pages_send_strangers_to_the_login_and_back(parts: Parts) -> None:
    answer = parts.client().get(f"/projects/{parts.project}/runs?phase=Failed")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/login?next=/projects/{parts.project}/runs?phase%3DFailed"


def test_the_api_says_401_as_a_problem(parts: Parts) -> None:
    answer = parts.client().get("/api/v1/me")
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


@pytest.mark.quick
def test_signing_in_and_out(parts: Parts) -> None:
    me = parts.sign_in()
    assert me.get("/api/v1/me").json == {
        "name": EMAIL,
        "kind": "user",
        "email": EMAIL,
        "displayName": "ada",
        "instanceAdmin": True,
        "roles": {},
        "tasks": None,
    }
    cookie = me.cookie()
    assert len(parts.rows("SELECT * FROM sessions")) == 1
    answer = me.client.post("/logout", data={"csrf_token": me.csrf})
    assert answer.status_code == 303
    assert parts.rows("SELECT * FROM sessions") == []
    # The cookie is worth nothing any more, wherever it has gone.
    assert parts.app.test_client(use_cookies=False).get("/api/v1/me", headers={"Cookie": cookie}).status_code == 401


def test_the_cookie_is_http_only_and_lax_and_secure_behind_https(stack: Stack) -> None:
    for url, secure in (("", False), ("https://tidegate.example.com", True)):
        answer = stack.parts("web", public_url=url).client().get("/login")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert ("Secure" in cookie) is secure


def test_a_password_hashed_by_weaker_parameters_is_hashed_again_at_the_next_sign_in(stack: Stack) -> None:
    parts = stack.parts("web", hasher=Passwords())
    weak = parts.rows("SELECT password_hash FROM users")[0].password_hash
    parts.sign_in()
    strong = parts.rows("SELECT password_hash FROM users")[0].password_hash
    assert strong.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert strong != weak
    parts.sign_in()
    assert parts.rows("SELECT password_hash FROM users")[0].password_hash == strong


class Interrupted(Passwords):
    """Something else happens after a password was found right and before its session is opened."""

    def __init__(self) -> None:
        super().__init__(hasher=cheap_hasher())
        self.act: Callable[[], object] = lambda: None

    def check(self, password_hash: str | None, password: str) -> bool:
        right = super().check(password_hash, password)
        self.act()
        return right


@pytest.mark.parametrize(
    "change", ["UPDATE users SET password_hash = 'another'", "UPDATE users SET disabled_at = now()"]
)
def test_a_session_that_is_opened_while_its_user_changes_is_refused(stack: Stack, change: str) -> None:
    hasher = Interrupted()
    parts = stack.parts("web", hasher=hasher)

    def act() -> None:
        with parts.engine.begin() as connection:
            connection.execute(text(change))

    hasher.act = act
    assert login(parts)[0] == 409
    assert parts.rows("SELECT * FROM sessions") == []


def test_a_new_token_at_every_sign_in(parts: Parts) -> None:
    parts.sign_in()
    parts.sign_in()
    assert len({row.token_hash for row in parts.rows("SELECT token_hash FROM sessions")}) == 2


def test_wrong_password_and_unknown_address_look_the_same(parts: Parts) -> None:
    def answer(email: str) -> tuple[int, str]:
        client = parts.client()
        token = csrf_token(client.get("/login"))
        said = client.post("/login", data={"email": email, "password": "wrong", "csrf_token": token})
        return said.status_code, re.sub(r'(csrf-?_?token" (content|value)=)"[^"]+"', r"\1", said.text).replace(
            email, ""
        )

    known = answer(EMAIL)
    assert known == answer("nobody@example.com")
    assert known[0] == 401


def test_forms_and_calls_without_csrf_token_are_refused(parts: Parts) -> None:
    answer = parts.client().post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 403
    me = parts.sign_in()
    answer = me.client.post(f"/api/v1/projects/{parts.project}/runs", json={})
    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"


def test_guessing_is_throttled_and_fails_open_without_redis(stack: Stack) -> None:
    parts = stack.parts("web", login_attempts=3)
    for _ in range(3):
        assert login(parts, password="wrong")[0] == 401
    assert login(parts)[0] == 429
    assert login(parts, email="someone@else.example", password="wrong")[0] == 401
    stack.redis.stop()
    assert login(parts)[0] == 303


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/projects/p/runs?phase=Failed", "/projects/p/runs?phase=Failed"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_a_login_redirects_to_no_other_site(shared_parts: Parts, target: str, sent: str) -> None:
    assert login(shared_parts, target=target) == (303, sent)


def test_expired_and_forged_sessions_are_strangers(parts: Parts) -> None:
    me = parts.sign_in()
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sessions SET expires = now() - interval '1 second'")
    assert me.get("/api/v1/me").status_code == 401
    forged = parts.app.test_client(use_cookies=False).get("/api/v1/me", headers={"Cookie": me.cookie()[:-4] + "AAAA"})
    assert forged.status_code == 401


def test_sign_ins_are_in_the_audit_log(parts: Parts) -> None:
    login(parts, password="wrong")
    login(parts)
    rows = parts.rows("SELECT actor, action, outcome FROM audit WHERE action = 'session.open' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (EMAIL, "session.open", "wrong password"),
        (EMAIL, "session.open", "done"),
    ]
