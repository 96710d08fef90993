"""People: made by admins, signed in by links, disabled, and their sessions one by one."""

import threading
from typing import Any

import pytest
from support.callers import SignedIn, csrf_token
from support.web import EMAIL, PASSWORD, Parts, Stack

NEW_PASSWORD = "a password nobody has guessed"


def path_of(link: str) -> str:
    return link.removeprefix("http://localhost")


def new_user(me: SignedIn, email: str = "bob@example.com", **fields: Any) -> dict[str, Any]:
    answer = me.post("/api/v1/users", {"email": email} | fields)
    assert answer.status_code == 201, answer.text
    made: Any = answer.json
    return dict(made)


def choose(parts: Parts, link: str, password: str = NEW_PASSWORD) -> Any:
    client = parts.client()
    return client.post(path_of(link), data={"password": password, "csrf_token": csrf_token(client.get(path_of(link)))})


def test_a_new_user_chooses_a_password_by_a_link_that_is_good_once(parts: Parts) -> None:
    me = parts.sign_in()
    made = new_user(me, email="Bob@Example.com", name="Bob")
    assert made["email"] == "bob@example.com"
    assert made["mailed"] is False
    assert choose(parts, made["link"], "short").status_code == 422
    answer = choose(parts, made["link"])
    assert answer.status_code == 303
    assert parts.client().get(path_of(made["link"])).status_code == 404
    bob = parts.sign_in(email="bob@example.com", password=NEW_PASSWORD)
    reported: Any = bob.get("/api/v1/me").json
    assert reported["displayName"] == "Bob"
    assert not reported["instanceAdmin"]


def test_a_second_link_makes_the_first_worthless_and_old_sessions_end(parts: Parts) -> None:
    me = parts.sign_in()
    made = new_user(me)
    choose(parts, made["link"])
    bob = parts.sign_in(email="bob@example.com", password=NEW_PASSWORD)
    links = [me.post(f"/api/v1/users/{made['id']}:reset-password").json["link"] for _ in range(2)]  # type: ignore[index]
    assert parts.client().get(path_of(links[0])).status_code == 404
    assert choose(parts, links[1], "another password than before").status_code == 303
    assert bob.get("/api/v1/me").status_code == 401


def test_links_expire(stack: Stack) -> None:
    parts = stack.parts("web")
    made = new_user(parts.sign_in())
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE password_links SET expires = now() - interval '1 second'")
    assert parts.client().get(path_of(made["link"])).status_code == 404


def test_a_links_token_is_in_no_log(
    parts: Parts, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    link = new_user(parts.sign_in())["link"]
    with caplog.at_level("INFO"):
        choose(parts, link)
    said = caplog.text + capsys.readouterr().out  # to one of them, as another test has set logging up or not
    assert "/password/<token>" in said
    assert link.rsplit("/", 1)[1] not in said


def test_a_link_used_by_two_at_once_is_good_for_one(parts: Parts) -> None:
    link = new_user(parts.sign_in())["link"]
    outcomes: list[int] = []
    threads = [threading.Thread(target=lambda: outcomes.append(choose(parts, link).status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [303, 404, 404, 404]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "nobody"},
        {"email": "a@b\x00"},
        {"email": "a@b", "role": "admin"},
        {"email": "a@b", "instanceAdmin": "yes"},
        {"email": 3},
        {"email": "a" * 320 + "@b"},
        {"email": "a@b", "name": "x\ny"},
    ],
)
def test_what_is_wrong_with_a_user_is_reported(shared_me: SignedIn, body: object) -> None:
    answer = shared_me.post("/api/v1/users", body)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def test_an_address_is_one_users(parts: Parts) -> None:
    me = parts.sign_in()
    new_user(me)
    assert me.post("/api/v1/users", {"email": "BOB@example.com"}).status_code == 409


def test_a_disabled_user_is_signed_out_and_stays_out(parts: Parts) -> None:
    me = parts.sign_in()
    made = new_user(me)
    choose(parts, made["link"])
    bob = parts.sign_in(email="bob@example.com", password=NEW_PASSWORD)
    assert me.call("PATCH", f"/api/v1/users/{made['id']}", {"disabled": True}).json["disabled"] is True  # type: ignore[index]
    assert bob.get("/api/v1/me").status_code == 401
    client = parts.client()
    token = csrf_token(client.get("/login"))
    login = {"email": "bob@example.com", "password": NEW_PASSWORD, "csrf_token": token}
    assert client.post("/login", data=login).status_code == 401
    me.call("PATCH", f"/api/v1/users/{made['id']}", {"disabled": False})
    parts.sign_in(email="bob@example.com", password=NEW_PASSWORD)


def test_the_last_admin_of_the_installation_stays_one(parts: Parts) -> None:
    me = parts.sign_in()
    (mine,) = [user["id"] for user in me.get("/api/v1/users").json["items"] if user["email"] == EMAIL]  # type: ignore[index]
    for change in ({"disabled": True}, {"instanceAdmin": False}):
        assert me.call("PATCH", f"/api/v1/users/{mine}", change).status_code == 409
    other = new_user(me, instanceAdmin=True)
    assert me.call("PATCH", f"/api/v1/users/{mine}", {"instanceAdmin": False}).status_code == 200
    assert me.get("/api/v1/users").status_code == 401  # a user who loses that right signs in again
    assert other["instanceAdmin"] is True


def test_users_are_listed_page_by_page(parts: Parts) -> None:
    me = parts.sign_in()
    for number in range(4):
        new_user(me, email=f"u{number}@example.com")
    seen: list[str] = []
    after = ""
    while True:
        page: Any = me.get(f"/api/v1/users?limit=2{after}").json
        seen += [user["email"] for user in page["items"]]
        if page["after"] is None:
            break
        after = f"&after={page['after']}"
    assert seen == [EMAIL, *(f"u{number}@example.com" for number in range(4))]


@pytest.mark.parametrize("path", ["/api/v1/users/0", "/api/v1/users/999999999999999999999", "/api/v1/users/77777"])
def test_users_that_are_not_there(shared_me: SignedIn, path: str) -> None:
    assert shared_me.get(path).status_code == 404


def test_sessions_are_seen_and_ended_one_by_one(parts: Parts) -> None:
    here, there = parts.sign_in(), parts.sign_in()
    listed: Any = here.get("/api/v1/sessions").json
    assert [item["current"] for item in listed["items"]].count(True) == 1
    (other,) = [item["id"] for item in listed["items"] if not item["current"]]
    assert here.call("DELETE", f"/api/v1/sessions/{other}").status_code == 204
    assert there.get("/api/v1/me").status_code == 401
    assert here.get("/api/v1/me").status_code == 200
    assert here.call("DELETE", f"/api/v1/sessions/{other}").status_code == 404


def test_signing_out_everywhere_leaves_the_one_that_asks(parts: Parts) -> None:
    here, *others = (parts.sign_in() for _ in range(3))
    assert here.call("DELETE", "/api/v1/sessions").status_code == 204
    assert [other.get("/api/v1/me").status_code for other in others] == [401, 401]
    assert here.get("/api/v1/me").status_code == 200


def test_no_user_ends_the_sessions_of_others(parts: Parts) -> None:
    me = parts.sign_in()
    stranger = parts.member(None)
    (mine,) = [item["id"] for item in me.get("/api/v1/sessions").json["items"]]  # type: ignore[index]
    assert stranger.call("DELETE", f"/api/v1/sessions/{mine}").status_code == 404
    assert me.get("/api/v1/me").status_code == 200


def test_idle_sessions_end(parts: Parts) -> None:
    me = parts.sign_in()
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sessions SET last_seen = now() - interval '2 days'")
    assert me.get("/api/v1/me").status_code == 401


def test_a_changed_password_ends_all_other_sessions(parts: Parts) -> None:
    here, there = parts.sign_in(), parts.sign_in()
    assert here.post("/api/v1/me/password", {"current": "wrong", "new": NEW_PASSWORD}).status_code == 403
    assert here.post("/api/v1/me/password", {"current": PASSWORD, "new": "short"}).status_code == 422
    assert here.post("/api/v1/me/password", {"current": PASSWORD, "new": NEW_PASSWORD}).status_code == 204
    assert there.get("/api/v1/me").status_code == 401
    assert here.get("/api/v1/me").status_code == 200
    parts.sign_in(password=NEW_PASSWORD)


def test_guessing_ones_own_password_is_throttled(stack: Stack) -> None:
    me = stack.parts("web", login_attempts=2).sign_in()
    for _ in range(2):
        assert me.post("/api/v1/me/password", {"current": "wrong", "new": NEW_PASSWORD}).status_code == 403
    answer = me.post("/api/v1/me/password", {"current": PASSWORD, "new": NEW_PASSWORD})
    assert answer.status_code == 429
    assert answer.headers["Retry-After"]


def test_passwords_can_be_turned_off(stack: Stack) -> None:
    on = stack.parts("web")
    link = new_user(on.sign_in())["link"]
    client = stack.parts("web", passwords=False).client()
    page = client.get("/login")
    assert 'type="password"' not in page.text
    data = {"email": EMAIL, "password": PASSWORD, "csrf_token": csrf_token(page)}
    assert client.post("/login", data=data).status_code == 403
    assert client.get(path_of(link)).status_code == 403
    assert client.get("/forgot").status_code == 404


def test_while_postgres_is_away_a_user_seen_lately_is_known(stack: Stack) -> None:
    parts = stack.parts("web")
    me, gone = parts.sign_in(), parts.sign_in()
    for each in (me, gone):
        assert each.get("/api/v1/me").status_code == 200
    gone.client.post("/logout", data={"csrf_token": gone.csrf})
    cookie = me.cookie()
    stack.postgres.stop()
    assert me.get("/api/v1/me").json["email"] == EMAIL  # type: ignore[index]
    assert parts.app.test_client(use_cookies=False).get(
        "/api/v1/me", headers={"Cookie": cookie[:-6] + "AAAAAA"}
    ).status_code in (401, 503)
    stack.redis.stop()
    assert me.get("/api/v1/me").status_code == 503
    stack.redis.start()
    stack.postgres.start()
    assert me.get("/api/v1/me").status_code == 200


def test_with_redis_away_people_sign_in_and_out(stack: Stack) -> None:
    parts = stack.parts("web")
    stack.redis.stop()
    me = parts.sign_in()
    assert me.get("/api/v1/me").status_code == 200
    assert me.client.post("/logout", data={"csrf_token": me.csrf}).status_code == 303
    assert me.get("/api/v1/me").status_code == 401
