"""Accounts made by another user than the owner of their address: the first who proves the address gets the account alone."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import SignedIn, WithKey, csrf_token
from support.mail import Mailbox
from support.oidc import CLIENT_SECRET, OidcProvider
from support.web import EMAIL, PASSWORD, Parts, Stack

NEW_PASSWORD = "a password nobody has guessed"
SQUATTED = "carol@example.com"


def person(email: str) -> dict[str, object]:
    return {"email": email, "email_verified": True, "name": email.partition("@")[0], "groups": ["root"]}


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with OidcProvider({"carol": person(SQUATTED), "second": person(SQUATTED), "ada": person(EMAIL)}) as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made


def app(stack: Stack, provider: OidcProvider, **settings: Any) -> Parts:
    """The app with this provider, whose group `root` makes admins of the installation."""
    values: dict[str, Any] = {
        "oidc_discovery_url": provider.discovery_url,
        "oidc_client_id": "tidegate",
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_scopes": "openid email profile groups",
        "oidc_group_roles": "root=instance-admin",
    }
    return stack.parts("web", **values | settings)


def through(parts: Parts, provider: OidcProvider, name: str) -> tuple[Any, Any]:
    """(the browser, what our callback answers) of a user who signs in through the provider."""
    client = parts.client()
    back = provider.sign_in(client.get("/login/oidc").headers["Location"], name=name)
    return client, client.get(re.sub(r"^https?://[^/]+", "", back))


def path_of(link: str) -> str:
    return re.sub(r"^https?://[^/]+", "", link)


def squat(parts: Parts) -> SignedIn:
    """An account of another user's address, with a password of one's own, through an invitation's link."""
    made: Any = parts.sign_in().post("invitations", {"email": SQUATTED, "role": "admin"}).json
    client, path = parts.client(), path_of(made["link"])
    form = {"password": NEW_PASSWORD, "csrf_token": csrf_token(client.get(path))}
    assert client.post(path, data=form).status_code == 303
    csrf = csrf_token(client.get("/", follow_redirects=True))
    return SignedIn(client=client, csrf=csrf, project=parts.project)


def password_works(parts: Parts, email: str, password: str) -> bool:
    client = parts.client()
    form = {"email": email, "password": password, "csrf_token": csrf_token(client.get("/login"))}
    return client.post("/login", data=form).status_code == 303


def test_the_owners_first_sign_in_through_a_provider_ends_all_access_that_was_made_before(
    stack: Stack, provider: OidcProvider
) -> None:
    parts = app(stack, provider)
    squatter = squat(parts)
    made: Any = squatter.post("api-keys", {"name": "kept", "role": "admin"}).json
    key = WithKey(client=parts.client(), key=made["key"], id=made["id"], project=parts.project)
    more: Any = key.post("api-keys", {"name": "made by the first", "role": "admin"}).json
    second = WithKey(client=parts.client(), key=more["key"], id=more["id"], project=parts.project)
    user_id = parts.rows("SELECT id FROM users WHERE email = :email", email=SQUATTED)[0].id
    link: Any = parts.sign_in().post(f"/api/v1/users/{user_id}:reset-password").json
    owner, answer = through(parts, provider, "carol")
    assert answer.status_code == 303
    assert owner.get("/api/v1/me").json["instanceAdmin"] is True
    assert not password_works(parts, SQUATTED, NEW_PASSWORD)
    assert squatter.get("/api/v1/users").status_code == 401
    assert parts.client().get(path_of(link["link"])).status_code == 404
    assert [key.get("runs").status_code, second.get("runs").status_code] == [401, 401]
    (entry,) = parts.rows("SELECT * FROM audit WHERE action = 'user.first-proof'")
    assert (entry.actor, entry.target) == ("oidc", SQUATTED)
    assert entry.detail["password"] is True
    assert entry.detail["sessions"] == 1
    assert sorted(entry.detail["apiKeys"]) == sorted([made["prefix"], more["prefix"]])


def test_an_account_whose_address_is_proved_keeps_its_password_when_a_provider_is_added(
    stack: Stack, provider: OidcProvider, mailbox: Mailbox
) -> None:
    parts = app(stack, provider, **mailbox.settings())
    parts.sign_in().post("/api/v1/users", {"email": SQUATTED})
    found = re.search(r"http://tidegate\.example\.com(/\S+)", mailbox.next().get_content())  # type: ignore[attr-defined]
    assert found is not None
    client = parts.client()
    form = {"password": NEW_PASSWORD, "csrf_token": csrf_token(client.get(found.group(1)))}
    assert client.post(found.group(1), data=form).status_code == 303
    assert through(parts, provider, "carol")[1].status_code == 303
    assert password_works(parts, SQUATTED, NEW_PASSWORD)
    assert client.get("/api/v1/me").status_code == 200
    assert parts.rows("SELECT * FROM audit WHERE action = 'user.first-proof'") == []


def test_the_admin_made_at_install_keeps_the_password(stack: Stack, provider: OidcProvider) -> None:
    parts = app(stack, provider)
    assert through(parts, provider, "ada")[1].status_code == 303
    assert password_works(parts, EMAIL, PASSWORD)


def test_a_mailed_link_for_a_new_password_ends_what_was_made_before_the_address_was_proved(
    stack: Stack, provider: OidcProvider, mailbox: Mailbox
) -> None:
    squatter = squat(app(stack, provider))
    key: Any = squatter.post("api-keys", {"name": "kept", "role": "admin"}).json
    parts = app(stack, provider, **mailbox.settings())
    client = parts.client()
    client.post("/forgot", data={"email": SQUATTED, "csrf_token": csrf_token(client.get("/forgot"))})
    found = re.search(r"http://tidegate\.example\.com(/\S+)", mailbox.next().get_content())  # type: ignore[attr-defined]
    assert found is not None
    form = {"password": PASSWORD, "csrf_token": csrf_token(client.get(found.group(1)))}
    assert client.post(found.group(1), data=form).status_code == 303
    assert squatter.get("/api/v1/me").status_code == 401
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert parts.client().get("/api/v1/me", headers=headers).status_code == 401
    assert password_works(parts, SQUATTED, PASSWORD)


def test_a_second_subject_with_the_same_address_is_refused(stack: Stack, provider: OidcProvider) -> None:
    parts = app(stack, provider)
    assert through(parts, provider, "carol")[1].status_code == 303
    stranger, answer = through(parts, provider, "second")
    assert answer.status_code == 403
    assert "another account at this provider" in answer.text
    assert stranger.get("/api/v1/me").status_code == 401
    assert len(parts.rows("SELECT * FROM identities")) == 1
    # Anyone who has the mailbox now gets an account of their own once an admin has given the old one another address.
    me = parts.sign_in()
    user_id = parts.rows("SELECT id FROM users WHERE email = :email", email=SQUATTED)[0].id
    moved = me.call("PATCH", f"/api/v1/users/{user_id}", {"email": "carol-before@example.com"})
    assert moved.status_code == 200, moved.text
    newcomer, answer = through(parts, provider, "second")
    assert answer.status_code == 303
    assert newcomer.get("/api/v1/me").json["email"] == SQUATTED
    assert me.call("PATCH", f"/api/v1/users/{user_id}", {"email": SQUATTED}).status_code == 409


def test_the_link_of_an_invitation_is_shown_to_admins_of_the_installation_alone(parts: Parts) -> None:
    admin = parts.member("admin")
    body = {"email": "victim@example.com", "role": "admin"}
    for asks in (admin, parts.key("admin")):
        answer: Any = asks.post("invitations", body)
        assert answer.status_code == 201
        assert answer.json["mailed"] is False
        assert "link" not in answer.json
    form = {"act": "invite", "csrf_token": admin.csrf} | body
    page = admin.client.post(f"/projects/{parts.project}/members", data=form).text
    assert "/invitations/" not in page
    assert "an admin of the installation" in page
    assert "/invitations/" in parts.sign_in().post("invitations", body).json["link"]  # type: ignore[index]


def test_with_mail_no_link_is_shown_to_anybody(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", **mailbox.settings())
    mailbox.refuse()
    me = parts.sign_in()
    for answer in (
        me.post("invitations", {"email": "bob@example.com", "role": "viewer"}),
        me.post("/api/v1/users", {"email": "bob@example.com"}),
    ):
        assert answer.status_code == 201
        made: Any = answer.json
        assert made["mailed"] is False
        assert "link" not in made
    form = {"act": "invite", "email": "eve@example.com", "role": "viewer", "csrf_token": me.csrf}
    page = me.client.post(f"/projects/{parts.project}/members", data=form).text
    assert "/invitations/" not in page
    assert "mail server" in page


def test_an_invited_user_who_signs_in_through_a_provider_is_a_member_without_the_link(
    stack: Stack, provider: OidcProvider
) -> None:
    parts = app(stack, provider, oidc_group_roles="")
    parts.member("admin").post("invitations", {"email": SQUATTED, "role": "viewer"})
    client, answer = through(parts, provider, "carol")
    assert answer.status_code == 303
    assert client.get("/api/v1/me").json["roles"] == {stack.project: "viewer"}
    (entry,) = parts.rows("SELECT * FROM audit WHERE action = 'invitation.accept'")
    assert (entry.project, entry.actor) == (stack.project, SQUATTED)
