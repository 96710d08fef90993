"""What pods may call, each with the token of its own run and for that run alone."""

from typing import Any

from flask import Blueprint, Response, request
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.api import bodies
from tidegate_web.kubernetes import ClusterError
from tidegate_web.live.channels import keep_progress
from tidegate_web.permissions import Permission, requires
from tidegate_web.problems import Problem, from_cluster
from tidegate_web.runtokens import RunIdentity, RunTokenError
from tidegate_web.services import Services, services
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import runs
from tidegate_web.store.records import clean


def identify(made: Services, run_uid: str) -> RunIdentity:
    """The pod that asks, when it works for that very run."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "Send the run's token.", headers={"WWW-Authenticate": "Bearer"})
    try:
        identity = made.run_tokens.identify(token.strip())
    except RunTokenError as error:
        raise Problem(403, f"This token doesn't open the run: {error}.") from error
    except ClusterError as error:
        raise (
            from_cluster(error) if error.unavailable else Problem(403, "This token doesn't open the run.")
        ) from error
    if identity.run_uid != run_uid:
        raise Problem(403, "This token doesn't open the run: it is of another one.")
    return identity


def tell_progress(made: Services, identity: RunIdentity, told: bodies.Progress) -> None:
    """Redis for those who look now, Postgres for later; one of the two is enough."""
    message = clean(told.message)
    event: dict[str, Any] = {
        "uid": identity.run_uid,
        "name": identity.run_name,
        "phase": None,
        "reason": None,
        "attempt": identity.attempt,
        "progress": told.progress,
        "message": message,
    }
    now = made.clock.now()
    kept = False
    try:
        with made.engine.begin() as connection:
            runs.save_progress(
                connection,
                uid=identity.run_uid,
                attempt=identity.attempt,
                progress=told.progress,
                message=message,
                at=now,
            )
        kept = True
    except SQLAlchemyError as error:
        if not is_unavailable(error):
            raise
    try:
        keep_progress(made.redis, run_uid=identity.run_uid, progress=event | {"at": now.isoformat()})
        made.events.publish(identity.project, [event])
        kept = True
    except RedisError:
        pass
    if not kept:
        raise Problem(503, "The progress can't be kept at the moment.", headers={"Retry-After": "5"})


def blueprint() -> Blueprint:
    """``/internal/v1``."""
    area = Blueprint("internal", __name__, url_prefix="/internal/v1")

    @area.post("/runs/<uid>/progress")
    @requires(Permission.RUN_TOKEN)
    def progress(uid: str) -> tuple[str, int]:
        made = services()
        identity = identify(made, uid)
        tell_progress(made, identity, bodies.progress(bodies.json_object()))
        return "", 204

    @area.post("/runs/<uid>/<any(result, metadata, checkpoint, children):what>")
    @requires(Permission.RUN_TOKEN)
    def not_yet(uid: str, what: str) -> Response:
        del uid
        raise Problem(501, f"'{what}' isn't supported yet.")

    return area
