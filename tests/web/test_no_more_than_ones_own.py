"""What a role or a key hands on is never more than it has: members, keys and links."""

from datetime import UTC, datetime, timedelta
from typing import Any

from support.web import Parts

SOON = timedelta(hours=1)


def test_an_admin_of_a_project_learns_no_address_by_number(parts: Parts) -> None:
    admin, stranger = parts.member("admin"), parts.member(None, email="stranger@example.com")
    user_id = parts.rows("SELECT id FROM users WHERE email = 'stranger@example.com'")[0].id
    refused = admin.call("PUT", f"members/{user_id}", {"role": "viewer"})
    missing = admin.call("PUT", "members/999999", {"role": "viewer"})
    assert refused.status_code == missing.status_code == 404
    assert refused.json == missing.json
    assert "stranger" not in refused.text
    assert stranger.get("runs").status_code == 403
    (mine,) = admin.get("members").json["items"]  # type: ignore[index]
    assert admin.call("PUT", f"members/{mine['id']}", {"role": "admin"}).status_code == 200
    made: Any = parts.sign_in().call("PUT", f"members/{user_id}", {"role": "viewer"}).json
    assert made["email"] == "stranger@example.com"
    assert admin.call("PUT", f"members/{user_id}", {"role": "operator"}).status_code == 200


def test_a_key_that_expires_makes_no_key_that_outlasts_it(parts: Parts) -> None:
    ends = datetime.now(UTC) + SOON
    key = parts.key("admin", expiresAt=ends.isoformat())
    made: Any = key.post("api-keys", {"name": "as long", "role": "admin"}).json
    assert made["expiresAt"] == parts.sign_in().get("api-keys").json["items"][-1]["expiresAt"]  # type: ignore[index]
    shorter = (ends - SOON / 2).isoformat()
    assert key.post("api-keys", {"name": "shorter", "role": "viewer", "expiresAt": shorter}).status_code == 201
    later = (ends + SOON).isoformat()
    answer = key.post("api-keys", {"name": "longer", "role": "viewer", "expiresAt": later})
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["errors"][0]["field"] == "expiresAt"


def test_a_key_that_expires_makes_no_member_that_outlasts_it(parts: Parts) -> None:
    parts.member("viewer")
    (member,) = parts.sign_in().get("members").json["items"]  # type: ignore[index]
    key = parts.key("admin", expiresAt=(datetime.now(UTC) + SOON).isoformat())
    assert key.post("invitations", {"email": "eve@example.com", "role": "admin"}).status_code == 403
    assert key.call("PUT", f"members/{member['id']}", {"role": "admin"}).status_code == 403
    lasting = parts.key("admin")
    assert lasting.post("invitations", {"email": "eve@example.com", "role": "admin"}).status_code == 201
    assert lasting.call("PUT", f"members/{member['id']}", {"role": "admin"}).status_code == 200


def test_a_link_to_choose_another_password_is_good_for_an_hour(parts: Parts) -> None:
    me = parts.sign_in()
    made: Any = me.post("/api/v1/users", {"email": "bob@example.com"}).json
    (new,) = parts.rows("SELECT expires - created AS good FROM password_links")
    assert timedelta(days=6) < new.good
    me.post(f"/api/v1/users/{made['id']}:reset-password")
    (reset,) = parts.rows("SELECT expires - created AS good FROM password_links")
    assert reset.good <= timedelta(hours=1, minutes=1)
