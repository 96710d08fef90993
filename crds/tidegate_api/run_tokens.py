"""Tokens of runs in pools: signed by the operator, checked by the web app, good for one hand-over.

A run in a pool has no pod of its own, so no service account token that speaks for it alone. The operator signs who it is; both
sides share the keys, of which the first signs and each is accepted, so that they can be changed without a gap. A token is three
parts: a prefix, a JSON object in base64url, and its HMAC-SHA256.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

PREFIX: Final = "tgp"
KEY_BYTES_MIN: Final = 32
LENGTH_MAX: Final = 2048


class RunTokenError(Exception):
    """A token is no good; the message says why, and nothing of the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaims:
    """Whom a token speaks for."""

    namespace: str
    run: str
    uid: str
    attempt: int
    handover: str
    pod_uid: str
    expires: int
    """Seconds since the epoch."""


def sign(claims: RunClaims, key: bytes) -> str:
    """The token."""
    body = _encoded(json.dumps(asdict(claims), separators=(",", ":"), sort_keys=True).encode())
    return f"{PREFIX}.{body}.{_encoded(_mac(body, key))}"


def looks_like_one(token: str) -> bool:
    """Whether a bearer token is of this kind, good or not."""
    return token.startswith(f"{PREFIX}.")


def verify(token: str, keys: Sequence[bytes], *, now: float) -> RunClaims:
    """What the token says. Raises RunTokenError."""
    parts = token.split(".")
    if len(token) > LENGTH_MAX or len(parts) != 3 or parts[0] != PREFIX:
        raise RunTokenError("it is malformed")
    given = _decoded(parts[2])
    if not any(hmac.compare_digest(_mac(parts[1], key), given) for key in keys):
        raise RunTokenError("its signature is wrong")
    claims = RunClaims(**json.loads(_decoded(parts[1])))
    if now >= claims.expires:
        raise RunTokenError("it has expired")
    return claims


def parse_keys(text: str) -> tuple[bytes, ...]:
    """The keys of a file that both sides have: one a line. Raises ValueError for one that is too short."""
    keys = tuple(line.strip().encode() for line in text.splitlines() if line.strip())
    if any(len(key) < KEY_BYTES_MIN for key in keys):
        raise ValueError(f"a key of run tokens has fewer than {KEY_BYTES_MIN} bytes")
    return keys


def _mac(body: str, key: bytes) -> bytes:
    return hmac.new(key, body.encode(), hashlib.sha256).digest()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise RunTokenError("it is malformed") from error
