"""tidegate_api/run_tokens: a token speaks for one hand-over, and cannot be made or changed without the key."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate_api.run_tokens import RunClaims, RunTokenError, looks_like_one, parse_keys, sign, verify

NOW = 1_000_000.0
KEY, OTHER = b"k" * 32, b"o" * 32
CLAIMS = RunClaims(namespace="team", run="r", uid="u", attempt=2, handover="h", pod_uid="p", expires=int(NOW) + 60)


def test_what_was_signed_is_what_is_read() -> None:
    token = sign(CLAIMS, KEY)
    assert looks_like_one(token)
    assert verify(token, [OTHER, KEY], now=NOW) == CLAIMS


@pytest.mark.parametrize("keys", [[], [OTHER]])
def test_a_key_that_is_not_accepted_signs_nothing(keys: list[bytes]) -> None:
    with pytest.raises(RunTokenError, match="signature"):
        verify(sign(CLAIMS, KEY), keys, now=NOW)


def test_one_that_has_expired_is_refused() -> None:
    with pytest.raises(RunTokenError, match="expired"):
        verify(sign(CLAIMS, KEY), [KEY], now=NOW + 60)


def test_another_run_cannot_be_put_into_it() -> None:
    prefix, _, mac = sign(CLAIMS, KEY).split(".")
    body = json.dumps({**vars_of(CLAIMS), "uid": "other"}).encode()
    forged = f"{prefix}.{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}.{mac}"
    with pytest.raises(RunTokenError, match="signature"):
        verify(forged, [KEY], now=NOW)


def vars_of(claims: RunClaims) -> dict[str, object]:
    return {name: getattr(claims, name) for name in claims.__dataclass_fields__}


@given(st.text(max_size=200))
def test_whatever_comes_instead_is_refused(text: str) -> None:
    for token in (text, f"tgp.{text}", f"tgp.{text}.{text}"):
        with pytest.raises(RunTokenError):
            verify(token, [KEY], now=NOW)


def test_it_says_nothing_of_the_token_in_its_errors() -> None:
    token = sign(replace(CLAIMS, uid="secret-uid"), KEY)
    with pytest.raises(RunTokenError) as caught:
        verify(token + "x", [KEY], now=NOW)
    assert token[:20] not in str(caught.value)


def test_keys_stand_in_lines_and_are_long() -> None:
    assert parse_keys(f"{KEY.decode()}\n\n{OTHER.decode()}\n") == (KEY, OTHER)
    with pytest.raises(ValueError, match="fewer than 32"):
        parse_keys("short\n")
