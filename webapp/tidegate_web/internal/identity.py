"""Which pod asks: the token of the request, checked against the run in its path."""

from flask import g, request

from tidegate_web.auth.run_identity import RunIdentity, RunTokenError
from tidegate_web.auth.run_tokens import TooManyRefusedError
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem


def identify(made: Services, run_uid: str, *, look_now: bool = False) -> RunIdentity:
    """The pod that asks, when it works for that very run. ``look_now`` asks again whether it is still there."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "Send the run's token.", headers={"WWW-Authenticate": "Bearer"})
    try:
        identity = made.auth.run_tokens.identify(token.strip(), client=request.remote_addr or "", look_now=look_now)
    except TooManyRefusedError as error:
        raise Problem(
            429,
            "This address has sent too many tokens that open nothing. Wait a moment.",
            headers={"Retry-After": str(error.retry_after)},
        ) from error
    except RunTokenError as error:
        raise Problem(403, f"This token doesn't open the run: {error}.") from error
    except ClusterError as error:
        raise (
            from_cluster(error) if error.unavailable else Problem(403, "This token doesn't open the run.")
        ) from error
    if identity.run_uid != run_uid:
        raise Problem(403, "This token doesn't open the run: it is of another one.")
    bucket = made.auth.limits.take(f"run:{identity.run_uid}")
    if bucket is not None:
        g.rate_headers = bucket.headers()
        if not bucket.taken:
            raise bucket.refusal()
    return identity
