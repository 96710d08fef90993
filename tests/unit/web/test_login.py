"""The login at the apiserver: made again when a moment has passed, so that a renewed token is used."""

from itertools import count

from kubernetes import client
from tidegate_web.cluster.client import LOGIN_SECONDS, Login


def test_a_renewed_token_is_used_within_a_moment() -> None:
    tokens = count(1)

    def renew(configuration: client.Configuration) -> None:
        configuration.api_key["BearerToken"] = f"bearer token-{next(tokens)}"

    elapsed = [0.0]
    configuration = client.Configuration()
    configuration.api_key["BearerToken"] = "bearer none"
    configuration.refresh_api_key_hook = renew  # type: ignore[assignment]
    login = Login(client.ApiClient(configuration), now=lambda: elapsed[0])
    first = login.headers()
    assert first["authorization"] == "bearer token-1"
    assert first["User-Agent"]
    assert login.headers() == first
    elapsed[0] += LOGIN_SECONDS
    assert login.headers()["authorization"] == "bearer token-2"


def test_without_a_token_there_is_no_login() -> None:
    assert "authorization" not in Login(client.ApiClient(client.Configuration())).headers()
