"""What a service account token looks like that is made for this audience: whose it is, and which pod it is bound to.

Read before the apiserver is asked, so that what can't be one costs no TokenReview. Nothing here is proof: the claims are not
verified. Pure.
"""

import base64
import binascii
import json
from typing import Final

LONGEST: Final = 16_384
"""Signs of a token. Those of Kubernetes have about 1,200."""


def bound_pod(token: str, *, audience: str) -> str | None:
    """The uid of the pod that the token claims to be bound to; None for what is no JWT of this audience that names a pod."""
    claims = _claims_for(token, audience)
    bound = claims.get("kubernetes.io")
    pod = bound.get("pod") if isinstance(bound, dict) else None
    if not isinstance(pod, dict):
        return None
    name, uid = pod.get("name"), pod.get("uid")
    return uid if isinstance(name, str) and name and isinstance(uid, str) and uid else None


def claimed_account(token: str, *, audience: str) -> str | None:
    """The user name of the account that the token claims to be of; None for what is no JWT of this audience that names one."""
    subject = _claims_for(token, audience).get("sub")
    return subject if isinstance(subject, str) and subject else None


def expiry(token: str) -> float:
    """The token's ``exp``, in seconds since 1970; 0 without one that can be used."""
    found = _claims(token).get("exp")
    return float(found) if isinstance(found, int) and 0 < found < 2**53 else 0.0


def _claims_for(token: str, audience: str) -> dict[str, object]:
    claims = _claims(token)
    audiences = claims.get("aud")
    return claims if audience in (audiences if isinstance(audiences, list) else [audiences]) else {}


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
