"""Who leaves a group loses what it gave within the hour, at a real OpenID Connect provider, while the session lasts."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.oidc import CLIENT_SECRET, OidcProvider
from support.web import Parts, Stack

CAROL: dict[str, object] = {
    "email": "carol@example.com",
    "email_verified": True,
    "name": "carol",
    "groups": ["data", "root"],
}


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider({"carol": CAROL}, refresh=True) as server:
        yield server


@pytest.fixture(scope="module")
def plain_provider() -> Iterator[OidcProvider]:
    """One that gives no refresh tokens."""
    with OidcProvider({"carol": CAROL}) as server:
        yield server


def app(stack: Stack, provider: OidcProvider, **settings: Any) -> Parts:
    values: dict[str, Any] = {
        "oidc_discovery_url": provider.discovery_url,
        "oidc_client_id": "tidegate",
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_scopes": "openid email profile groups",
        "oidc_group_roles": f"data={stack.project}:developer, root=instance-admin",
    }
    return stack.parts("web", **values | settings)


def sign_in(parts: Parts, provider: OidcProvider) -> Any:
    client = parts.client()
    back = provider.sign_in(client.get("/login/oidc").headers["Location"], name="carol")
    assert client.get(back.removeprefix("http://localhost")).status_code == 303
    return client


def elapse(parts: Parts, *, seconds: int) -> None:
    """Let the sessions be so much older."""
    with parts.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE sessions SET groups_due = groups_due - make_interval(secs => :s), "
                "groups_tried = groups_tried - make_interval(secs => :s), expires = expires - make_interval(secs => :s)"
            ),
            {"s": seconds},
        )


def me(client: Any) -> tuple[Any, Any]:
    reported = client.get("/api/v1/me").json
    return reported["roles"], reported["instanceAdmin"]


def test_who_leaves_a_group_loses_its_role_within_the_hour_without_signing_in_again(
    stack: Stack, provider: OidcProvider
) -> None:
    parts = app(stack, provider)
    client = sign_in(parts, provider)
    assert me(client) == ({stack.project: "developer"}, True)
    provider.change("carol", groups=["data"])
    elapse(parts, seconds=3601)
    assert me(client) == ({stack.project: "developer"}, False)
    provider.change("carol", groups=[])
    # Twice more: the token that the provider gave with its last answer is the one that counts.
    elapse(parts, seconds=3601)
    assert me(client) == ({}, False)
    elapse(parts, seconds=3601)
    assert me(client) == ({}, False)


def test_requests_at_the_same_time_to_both_processes_all_get_the_answer(stack: Stack, provider: OidcProvider) -> None:
    parts, second = app(stack, provider), app(stack, provider)
    cookie = f"tidegate={sign_in(parts, provider).get_cookie('tidegate').value}"
    elapse(parts, seconds=3601)
    reported: list[int] = []

    def ask(asked: Parts) -> None:
        other = asked.app.test_client(use_cookies=False)
        reported.append(other.get("/api/v1/me", headers={"Cookie": cookie}).status_code)

    threads = [threading.Thread(target=ask, args=(asked,)) for asked in (parts, second) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reported == [200] * 4


def test_what_a_group_gave_is_refused_while_postgres_is_away_too(stack: Stack, provider: OidcProvider) -> None:
    here, there = app(stack, provider), app(stack, provider)
    first, second = sign_in(here, provider), sign_in(there, provider)
    path = f"/api/v1/projects/{stack.project}/runs"
    assert second.get(path).status_code == 200
    provider.change("carol", groups=[])
    elapse(here, seconds=3601)
    assert me(first) == ({}, False)
    stack.postgres.stop()
    try:
        assert second.get(path).status_code == 503
    finally:
        stack.postgres.start()


def test_a_user_whom_the_provider_knows_no_longer_is_signed_out(stack: Stack, provider: OidcProvider) -> None:
    parts = app(stack, provider)
    client = sign_in(parts, provider)
    provider.remove("carol")
    elapse(parts, seconds=3000)  # it is asked before the hour is over
    assert client.get("/api/v1/me").status_code == 401
    assert parts.rows("SELECT * FROM sessions") == []
    (entry,) = parts.rows("SELECT * FROM audit WHERE action = 'session.end'")
    assert (entry.actor, entry.target) == ("oidc", "carol@example.com")


def test_a_provider_that_is_away_ends_nothing_before_the_hour_and_no_session_is_good_after_it(
    stack: Stack, provider: OidcProvider
) -> None:
    parts = app(stack, provider)
    client = sign_in(parts, provider)
    provider.stop()
    elapse(parts, seconds=3000)
    assert client.get("/api/v1/me").status_code == 200
    elapse(parts, seconds=700)
    assert client.get("/api/v1/me").status_code == 401
    assert len(parts.rows("SELECT * FROM sessions")) == 1


def test_a_process_without_providers_goes_by_the_time(stack: Stack, provider: OidcProvider) -> None:
    parts = app(stack, provider)
    client = sign_in(parts, provider)
    cookie = {"Cookie": f"tidegate={client.get_cookie('tidegate').value}"}
    other = stack.parts("web").app.test_client(use_cookies=False)
    assert other.get("/api/v1/me", headers=cookie).status_code == 200
    elapse(parts, seconds=3601)
    assert other.get("/api/v1/me", headers=cookie).status_code == 401
    assert client.get("/api/v1/me").status_code == 200
    assert other.get("/api/v1/me", headers=cookie).status_code == 200


def test_without_a_refresh_token_the_session_ends_after_the_hour(stack: Stack, plain_provider: OidcProvider) -> None:
    parts = app(stack, plain_provider)
    client = sign_in(parts, plain_provider)
    (row,) = parts.rows("SELECT expires FROM sessions")
    assert row.expires <= datetime.now(UTC) + timedelta(hours=1)
    elapse(parts, seconds=3601)
    assert client.get("/api/v1/me").status_code == 401


def test_where_no_group_gives_a_role_sessions_are_as_long_as_others(stack: Stack, plain_provider: OidcProvider) -> None:
    parts = app(stack, plain_provider, oidc_group_roles="", oidc_sign_up=True)
    sign_in(parts, plain_provider)
    (row,) = parts.rows("SELECT expires FROM sessions")
    assert row.expires > datetime.now(UTC) + timedelta(days=6)


def test_a_refresh_token_is_sealed_in_the_database(stack: Stack, provider: OidcProvider) -> None:
    parts = app(stack, provider)
    sign_in(parts, provider)
    (row,) = parts.rows("SELECT refresh_token FROM sessions")
    assert parts.services.auth.sealer.open(row.refresh_token) is not None
    assert bytes(row.refresh_token).startswith(b"gAAAA")
