"""Cookies where TLS ends before us: Secure, of this host alone, and the same for the process of the streams."""

from pathlib import Path

import pytest
import requests
from support.callers import csrf_token
from support.web import EMAIL, PASSWORD, Parts, Stack
from werkzeug.test import TestResponse

HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "Host": "tidegate.example.com"}


def sign_in(parts: Parts, headers: dict[str, str]) -> tuple[TestResponse, dict[str, str]]:
    """(the answer to a right password, the cookies that it set) of a browser behind these headers."""
    client = parts.app.test_client(use_cookies=False)
    page = client.get("/login", headers=headers)
    form = {"email": EMAIL, "password": PASSWORD, "csrf_token": csrf_token(page)}
    answer = client.post("/login", data=form, headers=headers | {"Cookie": jar(page)})
    assert answer.status_code == 303, answer.text
    return answer, {each.partition("=")[0]: each for each in answer.headers.getlist("Set-Cookie")}


def jar(answer: TestResponse) -> str:
    return "; ".join(each.partition(";")[0] for each in answer.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize(
    ("settings", "headers"),
    [({"trusted_proxies": 1}, HTTPS), ({"public_url": "https://tidegate.example.com"}, {})],
    ids=["TLS ends at the proxy", "the public address is https"],
)
def test_over_https_cookies_are_secure_and_of_this_host_alone(
    stack: Stack, settings: dict[str, object], headers: dict[str, str]
) -> None:
    parts = stack.parts("web", **settings)
    answer, cookies = sign_in(parts, headers)
    assert set(cookies) == {"__Host-tidegate", "__Host-tidegate-device"}
    for cookie in cookies.values():
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; ")), cookie
        assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    me = parts.app.test_client(use_cookies=False)
    assert me.get("/api/v1/me", headers=headers | {"Cookie": jar(answer)}).status_code == 200
    # The same value under a name that a neighbour of the domain could have set opens nothing.
    tossed = jar(answer).replace("__Host-", "")
    assert me.get("/api/v1/me", headers=headers | {"Cookie": tossed}).status_code == 401


def test_without_https_the_plain_name_is_used_and_no_header_is_believed(stack: Stack) -> None:
    parts = stack.parts("web")
    answer, cookies = sign_in(parts, {"X-Forwarded-Proto": "https"})
    assert set(cookies) == {"tidegate", "tidegate-device"}
    assert not any("Secure" in cookie for cookie in cookies.values())
    assert "Strict-Transport-Security" not in answer.headers


def test_signing_out_ends_the_session_of_the_secure_cookie(stack: Stack) -> None:
    parts = stack.parts("web", trusted_proxies=1)
    answer, _ = sign_in(parts, HTTPS)
    client = parts.app.test_client(use_cookies=False)
    page = client.get("/account", headers=HTTPS | {"Cookie": jar(answer)})
    form, cookie = {"csrf_token": csrf_token(page)}, {"Cookie": jar(page)}
    assert client.post("/logout", data=form, headers=HTTPS | cookie).status_code == 303
    assert client.get("/api/v1/me", headers=HTTPS | cookie).status_code == 401


def test_streams_are_opened_by_the_secure_cookie(stack: Stack, tmp_path: Path) -> None:
    answer, _ = sign_in(stack.parts("web", trusted_proxies=1), HTTPS)
    with stack.process("live", actor="web", log=tmp_path / "live.log", trusted_proxies=1) as live:
        url = f"http://127.0.0.1:{live.port}/live/v1/projects/{stack.project}/events"
        reported = []
        for cookie in (jar(answer), jar(answer).replace("__Host-", "")):
            with requests.get(url, headers=HTTPS | {"Cookie": cookie}, stream=True, timeout=120) as stream:
                reported.append(stream.status_code)
    assert reported == [200, 401]
