"""What a run's token looks like: a service account token that is bound to a pod and made for this audience.

Read before the apiserver is asked, so that a bearer that can't be one costs no TokenReview. Nothing here is proof: the claims
are not verified. Pure.
"""

import base64
import binascii
import json

from tidegate_web.shared.json_types import JsonObject

LONGEST = 16_384
"""Signs of a token. Those of Kubernetes have about 1,200."""


def may_open_a_run(token: str, *, audience: str) -> bool:
    """Whether the token is a JWT of this audience that names the pod it is bound to."""
    claims = _claims(token)
    audiences = claims.get("aud")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        return False
    bound = claims.get("kubernetes.io")
    pod = bound.get("pod") if isinstance(bound, dict) else None
    return isinstance(pod, dict) and all(isinstance(pod.get(each), str) and pod[each] for each in ("name", "uid"))


def expiry(token: str) -> float:
    """The token's ``exp``, in seconds since 1970; 0 without one that can be used."""
    found = _claims(token).get("exp")
    return float(found) if isinstance(found, int) and 0 < found < 2**53 else 0.0


def _claims(token: str) -> JsonObject:
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
