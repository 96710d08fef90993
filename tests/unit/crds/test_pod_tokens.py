"""What a pod's token looks like, before the apiserver is asked about it."""

import base64
import json
from typing import Any

import pytest
from tidegate_api.pod_tokens import LONGEST, bound_pod, claimed_account, expiry

POD = {"namespace": "team", "pod": {"name": "works-1", "uid": "0c7d"}}
GOOD = {"aud": ["tidegate"], "exp": 2_000_000_000, "kubernetes.io": POD}


def jwt(claims: Any) -> str:
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b"{}", body, b"signature"))


def test_a_token_of_a_pod_for_this_audience_names_the_pod() -> None:
    assert bound_pod(jwt(GOOD), audience="tidegate") == "0c7d"
    assert bound_pod(jwt(GOOD | {"aud": "tidegate"}), audience="tidegate") == "0c7d"
    assert expiry(jwt(GOOD)) == 2_000_000_000


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "a.b.c",
        "..",
        "\u00fc.\u00fc.\u00fc",
        jwt([]),
        jwt(None),
        jwt({}),
        jwt(b"\xff\xfe"),
        jwt(b"[" * 5000),
        jwt(GOOD | {"aud": ["https://kubernetes.default.svc"]}),
        jwt(GOOD | {"aud": None}),
        jwt(GOOD | {"aud": {"tidegate": 1}}),
        jwt({key: value for key, value in GOOD.items() if key != "kubernetes.io"}),
        jwt(GOOD | {"kubernetes.io": []}),
        jwt(GOOD | {"kubernetes.io": {"serviceaccount": {"name": "default", "uid": "x"}}}),
        jwt(GOOD | {"kubernetes.io": {"pod": {"name": "", "uid": "x"}}}),
        jwt(GOOD | {"kubernetes.io": {"pod": {"name": "x", "uid": 7}}}),
        jwt(GOOD | {"more": "x" * LONGEST}),
    ],
)
def test_everything_else_names_none(token: str) -> None:
    assert bound_pod(token, audience="tidegate") is None


@pytest.mark.parametrize("exp", [None, "1", -1, 0, True, 1e400, 10**400, [], float("nan")])
def test_an_expiry_that_makes_no_sense_is_none(exp: Any) -> None:
    assert expiry(jwt(GOOD | {"exp": exp})) in (0.0, 1.0)


def test_a_token_names_its_account_to_its_audience_alone() -> None:
    token = jwt(GOOD | {"sub": "system:serviceaccount:team:default"})
    assert claimed_account(token, audience="tidegate") == "system:serviceaccount:team:default"
    assert claimed_account(token, audience="elsewhere") is None


@pytest.mark.parametrize("token", ["", "a.b.c", jwt([]), jwt(GOOD), jwt(GOOD | {"sub": ""}), jwt(GOOD | {"sub": 7})])
def test_a_token_without_an_account_names_none(token: str) -> None:
    assert claimed_account(token, audience="tidegate") is None
