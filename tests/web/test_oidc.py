"""Signing in through a real OpenID Connect provider: who is let in, what groups give and take, and what goes wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import csrf_token
from support.oidc import CLIENT_SECRET, OidcProvider
from support.web import EMAIL, Parts, Stack
from werkzeug.test import TestResponse


def person(email: str, *, verified: bool = True, groups: list[str] | None = None) -> dict[str, object]:
    return {"email": email, "email_verified": verified, "name": email.partition("@")[0], "groups": groups or []}


PEOPLE = {
    "ada": person(EMAIL),
    "bob": person("bob@example.com"),
    "carol": person("carol@example.com", groups=["data", "root"]),
    "liar": person(EMAIL, verified=False),
    "eve": person("eve@elsewhere.example"),
}


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with OidcProvider(PEOPLE) as server:
        yield server


class SignsIn:
    """A user with a browser, at our app and at the provider."""

    def __init__(self, stack: Stack, provider: OidcProvider, **settings: Any) -> None:
        values: dict[str, Any] = {
            "oidc_discovery_url": provider.discovery_url,
            "oidc_client_id": "tidegate",
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_scopes": "openid email profile groups",
            "oidc_label": "Our directory",
        }
        self.parts: Parts = stack.parts("web", **values | settings)
        self.provider = provider

    def as_(self, name: str, *, target: str = "") -> tuple[Any, TestResponse]:
        """(the browser, what our callback answers)"""
        client = self.parts.client()
        begun = client.get(f"/login/oidc?next={target}")
        assert begun.status_code == 302, begun.text
        back = self.provider.sign_in(begun.headers["Location"], name=name)
        return client, client.get(back.removeprefix("http://localhost"))

    def let_in(self, name: str) -> Any:
        client, answer = self.as_(name)
        assert answer.status_code == 303, answer.text
        return client

    def refused(self, name: str) -> str:
        client, answer = self.as_(name)
        assert answer.status_code == 403
        assert client.get("/api/v1/me").status_code == 401
        return answer.text


def test_the_button_is_there_and_leads_back_to_where_one_was_going(stack: Stack, provider: OidcProvider) -> None:
    signs_in = SignsIn(stack, provider)
    assert "Our directory" in signs_in.parts.client().get("/login").text
    client, answer = signs_in.as_("ada", target="/projects/x/runs")
    assert answer.headers["Location"] == "/projects/x/runs"
    assert client.get("/api/v1/me").json["instanceAdmin"] is True


def test_a_user_is_known_by_the_providers_subject_whatever_their_address_becomes(
    stack: Stack, provider: OidcProvider
) -> None:
    signs_in = SignsIn(stack, provider)
    signs_in.let_in("ada")
    with signs_in.parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET email = 'ada@new.example'")
    assert signs_in.let_in("ada").get("/api/v1/me").json["email"] == "ada@new.example"
    assert len(signs_in.parts.rows("SELECT * FROM identities")) == 1


def test_strangers_are_refused_unless_anybody_may_sign_up(stack: Stack, provider: OidcProvider) -> None:
    assert "invite" in SignsIn(stack, provider).refused("bob")
    reported = SignsIn(stack, provider, oidc_sign_up=True).let_in("bob").get("/api/v1/me").json
    assert (reported["email"], reported["roles"], reported["instanceAdmin"]) == ("bob@example.com", {}, False)


def test_an_invited_user_signs_in_and_joins(stack: Stack, provider: OidcProvider) -> None:
    signs_in = SignsIn(stack, provider)
    me = signs_in.parts.sign_in()
    made: Any = me.post("invitations", {"email": "bob@example.com", "role": "viewer"}).json
    client = signs_in.let_in("bob")
    assert client.get(made["link"].removeprefix("http://localhost")).status_code == 404  # spent
    assert client.get("/api/v1/me").json["roles"] == {stack.project: "viewer"}


def test_an_address_that_is_not_verified_opens_no_account(stack: Stack, provider: OidcProvider) -> None:
    assert "vouch" in SignsIn(stack, provider).refused("liar")


def test_domains_can_be_limited(stack: Stack, provider: OidcProvider) -> None:
    signs_in = SignsIn(stack, provider, oidc_sign_up=True, oidc_allowed_domains=["example.com"])
    assert "domain" in signs_in.refused("eve")
    signs_in.let_in("bob")


def test_a_disabled_account_stays_out(stack: Stack, provider: OidcProvider) -> None:
    signs_in = SignsIn(stack, provider, oidc_sign_up=True)
    signs_in.let_in("bob")
    with signs_in.parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET disabled_at = now() WHERE email = 'bob@example.com'")
    assert "disabled" in signs_in.refused("bob")


def test_groups_give_roles_and_take_them_again(stack: Stack, provider: OidcProvider) -> None:
    mapping = f"data={stack.project}:developer, root=instance-admin"
    reported = SignsIn(stack, provider, oidc_group_roles=mapping).let_in("carol").get("/api/v1/me").json
    assert reported["roles"] == {stack.project: "developer"}
    assert reported["instanceAdmin"] is True
    # Another user's mapping: the same person, without the groups that gave something.
    less = SignsIn(stack, provider, oidc_group_roles="others=x:viewer, none=instance-admin")
    reported = less.let_in("carol").get("/api/v1/me").json
    assert reported["roles"] == {}
    assert reported["instanceAdmin"] is False


def test_what_a_person_gave_no_group_takes_and_the_last_admin_stays(stack: Stack, provider: OidcProvider) -> None:
    mapping = f"data={stack.project}:viewer, root=instance-admin"
    signs_in = SignsIn(stack, provider, oidc_group_roles=mapping, oidc_sign_up=True)
    bob = signs_in.let_in("bob")
    assert bob.get("/api/v1/me").json["roles"] == {}
    me = signs_in.parts.sign_in()
    (row,) = [user for user in me.get("/api/v1/users").json["items"] if user["email"] == "bob@example.com"]  # type: ignore[index]
    me.call("PUT", f"members/{row['id']}", {"role": "operator"})
    assert signs_in.let_in("bob").get("/api/v1/me").json["roles"] == {stack.project: "operator"}
    assert signs_in.let_in("ada").get("/api/v1/me").json["instanceAdmin"] is True


def test_a_callback_that_was_not_begun_here_or_comes_twice_is_refused(stack: Stack, provider: OidcProvider) -> None:
    signs_in = SignsIn(stack, provider)
    begun = signs_in.parts.client().get("/login/oidc")
    back = provider.sign_in(begun.headers["Location"], name="ada").removeprefix("http://localhost")
    stranger = signs_in.parts.client()
    assert stranger.get(back).status_code == 403
    assert stranger.get("/api/v1/me").status_code == 401
    client = signs_in.parts.client()
    begun = client.get("/login/oidc")
    back = provider.sign_in(begun.headers["Location"], name="ada").removeprefix("http://localhost")
    assert client.get(back).status_code == 303
    client.post("/logout", data={"csrf_token": csrf_token(client.get("/", follow_redirects=True))})
    assert client.get(back).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        "",
        "error=access_denied",
        "code=x",
        "state=x",
        "code=x&state=y",
        "code=%00&state=%00",
        "error=x&error_description=<b>",
    ],
)
def test_nonsense_at_the_callback_is_reported_in_words(stack: Stack, provider: OidcProvider, query: str) -> None:
    client = SignsIn(stack, provider).parts.client()
    answer = client.get(f"/login/oidc/callback?{query}")
    assert answer.status_code == (422 if "%00" in query else 403)
    assert "<b>" not in answer.text.partition("alert-danger")[2].partition("</div>")[0]


def test_a_provider_that_is_away_is_said_to_be(stack: Stack) -> None:
    parts = stack.parts("web", oidc_discovery_url="http://127.0.0.1:9/x", oidc_client_id="tidegate")
    answer = parts.client().get("/login/oidc")
    assert answer.status_code == 503
    assert "doesn" in answer.text
    assert parts.client().get("/login/google").status_code == 404


def test_sign_ins_through_a_provider_are_in_the_audit_log(stack: Stack, provider: OidcProvider) -> None:
    signs_in = SignsIn(stack, provider)
    signs_in.let_in("ada")
    signs_in.refused("bob")
    rows = signs_in.parts.rows("SELECT actor, outcome, detail FROM audit WHERE action = 'session.open' ORDER BY id")
    assert [(row.actor, row.outcome) for row in rows] == [(EMAIL, "done"), ("oidc", "refused")]
    assert rows[0].detail == {"how": "oidc"}
