"""Who is disabled keeps no way in: the API keys that they answer for end, or another user answers for them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import text
from support.browser import signed_in
from support.callers import SignedIn, WithKey, csrf_token
from support.mail import Mailbox
from support.web import EMAIL, PASSWORD, Parts, Stack


def with_key(parts: Parts, *, role: str = "operator") -> tuple[int, WithKey, WithKey]:
    """(an admin's number, a key of theirs, a key that this one has made)"""
    bob = parts.member("admin", email="bob@example.com")
    first: Any = bob.post("api-keys", {"name": "ci", "role": "admin"}).json
    key = WithKey(client=parts.client(), key=first["key"], id=first["id"], project=parts.project)
    second: Any = key.post("api-keys", {"name": "made by ci", "role": role}).json
    other = WithKey(client=parts.client(), key=second["key"], id=second["id"], project=parts.project)
    return parts.rows("SELECT id FROM users WHERE email = 'bob@example.com'")[0].id, key, other


def test_the_keys_of_a_disabled_user_end(parts: Parts) -> None:
    user_id, key, other = with_key(parts)
    me = parts.sign_in()
    listed: Any = me.get(f"/api/v1/users/{user_id}/api-keys").json
    assert [(item["project"], item["name"]) for item in listed["items"]] == [
        (parts.project, "made by ci"),
        (parts.project, "ci"),
    ]
    assert "key" not in listed["items"][0]
    assert me.call("PATCH", f"/api/v1/users/{user_id}", {"disabled": True}).status_code == 200
    assert [each.get("runs").status_code for each in (key, other)] == [401, 401]
    rows = parts.rows("SELECT * FROM audit WHERE action = 'api-key.revoke' ORDER BY target")
    assert sorted(row.target for row in rows) == sorted([key.key[:11], other.key[:11]])
    assert {(row.project, row.detail["owner"]) for row in rows} == {(parts.project, "bob@example.com")}
    me.call("PATCH", f"/api/v1/users/{user_id}", {"disabled": False})
    assert [each.get("runs").status_code for each in (key, other)] == [401, 401]


def test_the_keys_of_a_disabled_user_are_refused_while_postgres_is_away_too(stack: Stack) -> None:
    parts = stack.parts("web")
    user_id, key, _ = with_key(parts)
    assert key.get("runs").status_code == 200
    parts.sign_in().call("PATCH", f"/api/v1/users/{user_id}", {"disabled": True})
    stack.postgres.stop()
    assert key.get("runs").status_code == 503
    stack.postgres.start()


def test_a_user_who_is_disabled_in_the_database_alone_has_no_key_that_works(parts: Parts) -> None:
    user_id, key, other = with_key(parts)
    with parts.engine.begin() as connection:
        connection.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": user_id})
    assert [each.get("runs").status_code for each in (key, other)] == [401, 401]


def test_the_keys_of_a_member_who_is_removed_open_nothing(parts: Parts) -> None:
    user_id, key, other = with_key(parts)
    me = parts.sign_in()
    assert me.call("DELETE", f"members/{user_id}").status_code == 204
    assert [each.get("runs").status_code for each in (key, other)] == [401, 401]
    listed: Any = me.get("api-keys").json
    assert [(item["name"], item["active"]) for item in listed["items"]] == [("made by ci", False), ("ci", False)]


def test_a_key_is_no_more_than_its_owner_is_now(parts: Parts) -> None:
    user_id, key, other = with_key(parts, role="viewer")
    me = parts.sign_in()
    assert me.call("PUT", f"members/{user_id}", {"role": "developer"}).status_code == 200
    assert [each.get("runs").status_code for each in (key, other)] == [401, 200]
    assert me.call("PUT", f"members/{user_id}", {"role": "admin"}).status_code == 200
    assert key.get("runs").status_code == 200


def test_an_admin_takes_over_the_key_of_a_user_who_left(parts: Parts) -> None:
    user_id, key, _ = with_key(parts)
    me = parts.sign_in()
    assert me.call("DELETE", f"members/{user_id}").status_code == 204
    assert parts.member("developer").post(f"api-keys/{key.id}:take-over").status_code == 403
    carol = parts.member("admin", email="carol@example.com")
    taken: Any = carol.post(f"api-keys/{key.id}:take-over")
    assert (taken.status_code, taken.json["name"]) == (200, "ci")
    assert "key" not in taken.json
    assert key.get("runs").status_code == 200
    (entry,) = parts.rows("SELECT * FROM audit WHERE action = 'api-key.hand-over'")
    assert (entry.actor, entry.target, entry.outcome) == ("carol@example.com", str(key.id), "done")
    assert carol.post("api-keys/999999:take-over").status_code == 404


def test_a_key_that_expires_takes_no_key_over(parts: Parts) -> None:
    _, key, _ = with_key(parts)
    short = parts.key("admin", expiresAt="2036-01-01T00:00:00Z")
    assert short.post(f"api-keys/{key.id}:take-over").status_code == 403


def test_keys_are_handed_over_to_a_user_who_may_have_them(parts: Parts) -> None:
    user_id, key, other = with_key(parts)
    me = parts.sign_in()
    viewer, admin = parts.member("viewer"), parts.member("admin")
    numbers = {row.email: row.id for row in parts.rows("SELECT id, email FROM users")}

    def disable(**more: object) -> Any:
        return me.call("PATCH", f"/api/v1/users/{user_id}", {"disabled": True} | more)

    for heir in (numbers["viewer@example.com"], user_id, 999_999):
        refused = disable(keysTo=heir)
        assert refused.status_code == 422, refused.text
    assert "needs the role operator" in disable(keysTo=numbers["viewer@example.com"]).text
    assert me.get(f"/api/v1/users/{user_id}").json["disabled"] is False  # type: ignore[index]
    assert disable(keysTo=numbers["admin@example.com"]).status_code == 200
    assert [each.get("runs").status_code for each in (key, other)] == [200, 200]
    assert len(me.get(f"/api/v1/users/{numbers['admin@example.com']}/api-keys").json["items"]) == 2  # type: ignore[index]
    assert len(parts.rows("SELECT * FROM audit WHERE action = 'api-key.hand-over'")) == 2
    assert viewer.get("api-keys").status_code == 403
    assert admin.get("api-keys").status_code == 200
    assert me.call("PATCH", f"/api/v1/users/{user_id}", {"disabled": False, "keysTo": 1}).status_code == 422


def test_the_page_of_a_user_lists_their_keys_and_hands_them_over(parts: Parts, browser: Browser) -> None:
    user_id, key, _ = with_key(parts)
    with (
        parts.served() as site,
        signed_in(browser, site, email=EMAIL, password=PASSWORD, refusals=True) as page,
    ):
        page.goto("/users")
        page.get_by_role("link", name="Disable bob@example.com").click()
        expect(page.get_by_role("row", name="made by ci")).to_contain_text(parts.project)
        page.get_by_label("Hand the API keys over").check()
        page.get_by_label("Address of that user").fill("nobody@example.com")
        page.get_by_role("button", name="Disable").click()
        expect(page.get_by_role("alert")).to_contain_text("no user with this address")
        page.get_by_label("Hand the API keys over").check()
        page.get_by_label("Address of that user").fill(EMAIL)
        page.get_by_role("button", name="Disable").click()
        expect(page.get_by_text("disabled", exact=True)).to_be_visible()
        expect(page.locator("body")).to_contain_text("No API keys.")
    assert key.get("runs").status_code == 200
    assert parts.rows("SELECT disabled_at FROM users WHERE id = :id", id=user_id)[0].disabled_at is not None


@pytest.mark.parametrize(
    "change",
    [("DELETE", "members/{bob}", None), ("PUT", "members/{bob}", {"role": "viewer"})],
    ids=["removed", "made a viewer"],
)
def test_what_a_member_had_is_refused_while_postgres_is_away_too(stack: Stack, change: tuple[str, str, object]) -> None:
    here, there = stack.parts("web"), stack.parts("web")
    user_id, key, _ = with_key(there)
    bob = there.sign_in(email="bob@example.com")
    asks: list[SignedIn | WithKey] = [bob, key]
    assert [each.post("runs", {"taskRef": {"name": "any"}}).status_code for each in asks] == [201, 201]
    method, path, body = change
    assert here.sign_in().call(method, path.format(bob=user_id), body).status_code in (200, 204)
    stack.postgres.stop()
    try:
        assert [each.post("runs", {"taskRef": {"name": "any"}}).status_code for each in asks] == [503, 503]
    finally:
        stack.postgres.start()


def test_what_an_admin_of_the_installation_had_is_refused_while_postgres_is_away_too(stack: Stack) -> None:
    here, there = stack.parts("web"), stack.parts("web")
    me = here.sign_in()
    user: Any = me.post("/api/v1/users", {"email": "bob@example.com", "instanceAdmin": True}).json
    path = re.sub(r"^https?://[^/]+", "", user["link"])
    client = there.client()
    form = {"password": PASSWORD, "csrf_token": csrf_token(client.get(path))}
    assert client.post(path, data=form).status_code == 303
    made: Any = there.sign_in(email="bob@example.com").post("api-keys", {"name": "ci", "role": "admin"}).json
    key = WithKey(client=there.client(), key=made["key"], id=made["id"], project=there.project)
    assert key.get("runs").status_code == 200
    assert me.call("PATCH", f"/api/v1/users/{user['id']}", {"instanceAdmin": False}).status_code == 200
    stack.postgres.stop()
    try:
        assert key.get("runs").status_code == 503
    finally:
        stack.postgres.start()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made


@pytest.fixture
def mailed(stack: Stack, mailbox: Mailbox) -> Parts:
    """The app with a mail server: a user who is invited gets the link, and no other."""
    return stack.parts("web", **mailbox.settings())


def invited(mailbox: Mailbox, by: SignedIn | WithKey, email: str) -> str:
    """The path of the link that an invitation of this address mails."""
    answer = by.post("invitations", {"email": email, "role": "admin"})
    assert answer.status_code == 201, answer.text
    found = re.search(r"http://tidegate\.example\.com(/\S+)", mailbox.next().get_content())  # type: ignore[attr-defined]
    assert found is not None
    return found.group(1)


def joins(client: Any, path: str) -> bool:
    """Whether the link still makes a member."""
    page = client.get(path)
    if page.status_code == 404:
        return False
    form = {"password": "a password nobody has guessed", "csrf_token": csrf_token(page)}
    return bool(client.post(path, data=form).status_code == 303)


def test_a_member_who_is_removed_does_not_come_back_by_an_invitation(mailed: Parts, mailbox: Mailbox) -> None:
    user_id, key, _ = with_key(mailed)
    bob, me = mailed.sign_in(email="bob@example.com"), mailed.sign_in()
    own, others = invited(mailbox, bob, "bob@example.com"), invited(mailbox, bob, "mallory@example.com")
    by_key = invited(mailbox, key, "eve@example.com")
    assert me.call("DELETE", f"members/{user_id}").status_code == 204
    assert not joins(bob.client, own)
    assert not joins(mailed.client(), others)
    assert not joins(mailed.client(), by_key)
    assert me.get("invitations").json == {"items": []}


def test_nor_by_one_that_another_admin_made(mailed: Parts, mailbox: Mailbox) -> None:
    user_id, _, _ = with_key(mailed)
    bob, me = mailed.sign_in(email="bob@example.com"), mailed.sign_in()
    link = invited(mailbox, me, "bob@example.com")
    assert bob.call("DELETE", "members/me").status_code == 204
    assert not joins(bob.client, link)
    link = invited(mailbox, me, "bob@example.com")
    assert me.call("PUT", f"members/{user_id}", {"role": "viewer"}).status_code == 200
    assert not joins(bob.client, link)
    assert bob.get("/api/v1/me").json["roles"] == {mailed.project: "viewer"}  # type: ignore[index]


def test_invitations_end_with_the_right_to_invite(mailed: Parts, mailbox: Mailbox) -> None:
    user_id, _, _ = with_key(mailed)
    bob, me = mailed.sign_in(email="bob@example.com"), mailed.sign_in()
    first, second = (invited(mailbox, bob, f"{name}@example.com") for name in ("eve", "mallory"))
    assert me.call("PUT", f"members/{user_id}", {"role": "developer"}).status_code == 200
    assert not joins(mailed.client(), first)
    assert me.call("PUT", f"members/{user_id}", {"role": "admin"}).status_code == 200
    assert joins(mailed.client(), first)
    assert me.call("PATCH", f"/api/v1/users/{user_id}", {"disabled": True}).status_code == 200
    assert not joins(mailed.client(), second)
