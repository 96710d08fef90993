"""Signing in through GitHub: OAuth 2 without OpenID Connect, so that person, address and groups are asked of its API."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.github import CLIENT_ID, CLIENT_SECRET, Account, GitHub
from support.web import EMAIL, Parts, Stack
from werkzeug.test import TestResponse


def address(email: str, *, primary: bool = True, verified: bool = True) -> dict[str, Any]:
    return {"email": email, "primary": primary, "verified": verified, "visibility": None}


ADA = Account(
    id=1,
    login="ada-l",
    name="Ada",
    emails=[address("other@example.com", primary=False), address(EMAIL.upper())],
    organisations=[f"club-{number}" for number in range(130)] + ["engines"],
)
BOB = Account(id=2, login="bob", emails=[address("bob@example.com", verified=False)])


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub([ADA, BOB]) as site:
        yield site


def parts_with(stack: Stack, github: GitHub, **settings: Any) -> Parts:
    values = {
        "github_client_id": CLIENT_ID,
        "github_client_secret": CLIENT_SECRET,
        "github_url": github.url,
        "github_api_url": f"{github.url}/api",
    }
    return stack.parts("web", **values | settings)


def sign_in(parts: Parts, github: GitHub, login: str) -> tuple[Any, TestResponse]:
    """(the browser, what our callback answers)"""
    client = parts.client()
    begun = client.get("/login/github")
    assert begun.status_code == 302, begun.text
    back = github.sign_in(begun.headers["Location"], login=login)
    return client, client.get(back.removeprefix("http://localhost"))


def test_a_user_known_by_the_primary_address_gets_in(stack: Stack, github: GitHub) -> None:
    parts = parts_with(stack, github)
    assert "GitHub" in parts.client().get("/login").text
    client, answer = sign_in(parts, github, "ada-l")
    assert answer.status_code == 303, answer.text
    assert client.get("/api/v1/me").json["email"] == EMAIL
    assert [tuple(row) for row in parts.rows("SELECT provider, subject FROM identities")] == [("github", "1")]


def test_organisations_are_groups_however_many_there_are(stack: Stack, github: GitHub) -> None:
    parts = parts_with(stack, github, oidc_group_roles=f"engines={stack.project}:operator")
    client, _ = sign_in(parts, github, "ada-l")
    assert client.get("/api/v1/me").json["roles"] == {stack.project: "operator"}


def test_an_address_that_is_not_verified_signs_no_user_in(stack: Stack, github: GitHub) -> None:
    client, answer = sign_in(parts_with(stack, github, oidc_sign_up=True), github, "bob")
    assert (answer.status_code, "no verified address" in answer.text) == (403, True)
    assert client.get("/api/v1/me").status_code == 401


def test_a_code_is_good_once(stack: Stack, github: GitHub) -> None:
    parts = parts_with(stack, github)
    client = parts.client()
    back = github.sign_in(client.get("/login/github").headers["Location"], login="ada-l").removeprefix(
        "http://localhost"
    )
    assert client.get(back).status_code == 303
    assert parts.client().get(back).status_code == 403


def test_a_wrong_secret_is_reported_in_words(stack: Stack, github: GitHub) -> None:
    client, answer = sign_in(parts_with(stack, github, github_client_secret="another"), github, "ada-l")
    assert answer.status_code == 403
    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("status", [403, 502])
def test_an_api_that_refuses_signs_no_user_in(stack: Stack, github: GitHub, status: int) -> None:
    github.refuses = status
    client, answer = sign_in(parts_with(stack, github), github, "ada-l")
    assert (answer.status_code, f"GitHub answers {status}" in answer.text) == (403, True)
    assert client.get("/api/v1/me").status_code == 401


def test_an_api_that_is_away_is_said_to_be(stack: Stack, github: GitHub) -> None:
    parts = parts_with(stack, github, github_api_url="http://127.0.0.1:9")
    _, answer = sign_in(parts, github, "ada-l")
    assert (answer.status_code, "GitHub doesn&#39;t answer as it should" in answer.text) == (403, True)
