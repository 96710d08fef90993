"""Members of a project and the invitations to become one; what each role may do is in test_routes.py."""

from typing import Any

import pytest
from support.callers import SignedIn, csrf_token
from support.web import EMAIL, Parts

NEW_PASSWORD = "a password nobody has guessed"


def invite(me: SignedIn, email: str = "bob@example.com", role: str = "operator") -> dict[str, Any]:
    answer = me.post("invitations", {"email": email, "role": role})
    assert answer.status_code == 201, answer.text
    made: Any = answer.json
    return dict(made)


def path_of(made: dict[str, Any]) -> str:
    link: str = made["link"]
    return link.removeprefix("http://localhost")


def join(client: Any, made: dict[str, Any], **data: str) -> Any:
    return client.post(path_of(made), data={"csrf_token": csrf_token(client.get(path_of(made)))} | data)


@pytest.mark.quick
def test_a_stranger_joins_by_a_link_with_a_password_of_their_own(parts: Parts) -> None:
    made = invite(parts.sign_in())
    assert made["role"] == "operator"
    client = parts.client()
    assert "bob@example.com" in client.get(path_of(made)).text
    assert join(client, made, password="short", name="Bob").status_code == 422
    answer = join(client, made, password=NEW_PASSWORD, name="Bob")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/projects/{parts.project}/runs"
    assert client.get(f"/projects/{parts.project}/runs").status_code == 200
    reported: Any = client.get("/api/v1/me").json
    assert reported["roles"] == {parts.project: "operator"}
    assert reported["displayName"] == "Bob"
    assert parts.client().get(path_of(made)).status_code == 404  # good once
    assert parts.sign_in().get("invitations").json == {"items": []}


def test_a_link_takes_over_no_account(parts: Parts) -> None:
    me = parts.sign_in()
    bob = parts.member(None, email="bob@example.com")
    made = invite(me)
    client = parts.client()
    assert join(client, made, password=NEW_PASSWORD).status_code == 409
    assert client.get("/api/v1/me").status_code == 401
    stranger = parts.member(None, email="eve@example.com")
    assert join(stranger.client, made).status_code == 409
    assert join(bob.client, made).status_code == 303
    assert bob.get("runs").status_code == 200
    assert stranger.get("runs").status_code == 403


def test_invitations_are_withdrawn_replaced_and_expire(parts: Parts) -> None:
    me = parts.sign_in()
    first, second = invite(me), invite(me, role="viewer")
    assert parts.client().get(path_of(first)).status_code == 404
    assert [item["role"] for item in me.get("invitations").json["items"]] == ["viewer"]  # type: ignore[index]
    assert me.call("DELETE", f"invitations/{second['id']}").status_code == 204
    assert me.call("DELETE", f"invitations/{second['id']}").status_code == 404
    assert parts.client().get(path_of(second)).status_code == 404
    third = invite(me)
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE invitations SET expires = now() - interval '1 second'")
    assert parts.client().get(path_of(third)).status_code == 404


def test_a_role_changes_and_ends_at_once(parts: Parts) -> None:
    me, bob = parts.sign_in(), parts.member("viewer")
    (row,) = me.get("members").json["items"]  # type: ignore[index]
    body = {"taskRef": {"name": "resize"}}
    assert bob.post("runs", body).status_code == 403
    assert me.call("PUT", f"members/{row['id']}", {"role": "operator"}).status_code == 200
    assert bob.post("runs", body).status_code == 201
    assert me.call("DELETE", f"members/{row['id']}").status_code == 204
    assert bob.get("runs").status_code == 403
    assert me.call("DELETE", f"members/{row['id']}").status_code == 404


def test_members_may_leave(parts: Parts) -> None:
    bob = parts.member("viewer")
    assert bob.call("DELETE", "members/me").status_code == 204
    assert parts.key("viewer").call("DELETE", "members/me").status_code == 403
    assert bob.get("runs").status_code == 403


def test_members_see_their_own_projects_alone(parts: Parts, shared_parts: Parts) -> None:
    bob = parts.member("viewer")
    listed: Any = bob.get("/api/v1/projects").json
    assert listed["items"] == [{"name": parts.project, "role": "viewer"}]
    assert shared_parts.project not in bob.get("/", follow_redirects=True).text


@pytest.mark.parametrize(
    ("body", "status"),
    [({"email": "bob", "role": "viewer"}, 422), ({"email": "b@c", "role": "king"}, 422), ({"email": "b@c"}, 422)],
)
def test_what_is_wrong_with_an_invitation_is_reported(shared_me: SignedIn, body: object, status: int) -> None:
    assert shared_me.post("invitations", body).status_code == status


def test_who_changed_what_is_in_the_projects_audit_log(parts: Parts) -> None:
    me, bob = parts.sign_in(), parts.member("admin")
    invite(me)
    (row,) = [item for item in me.get("members").json["items"] if item["email"] == "admin@example.com"]  # type: ignore[index]
    me.call("PUT", f"members/{row['id']}", {"role": "admin"})
    entries: Any = bob.get("audit?limit=2").json
    assert [(entry["actor"], entry["action"], entry["outcome"]) for entry in entries["items"]] == [
        (EMAIL, "member.put", "done"),
        (EMAIL, "invitation.create", "done"),
    ]
    assert bob.get("/api/v1/audit").status_code == 403
    whole: Any = me.get("/api/v1/audit?action=session.open").json
    assert {entry["action"] for entry in whole["items"]} == {"session.open"}
    again: Any = bob.get(f"audit?limit=2&after={entries['after']}").json if entries["after"] else {"items": []}
    assert all(entry["id"] < entries["items"][-1]["id"] for entry in again["items"])
