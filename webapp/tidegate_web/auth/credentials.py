"""Whether what a request was let in by still holds at the moment when its write is made."""

from sqlalchemy import Connection

from tidegate_web.auth.actor import Actor
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import keys, users


def check_still_good(made: Services, connection: Connection, actor: Actor) -> None:
    """To be called where access is made that outlasts the request: 401 when the actor's own has ended since it was checked."""
    credential, now = actor.credential, made.clock.now()
    if credential is None:
        good = False
    elif credential.is_key:
        good = bool(keys.good(connection, key_hashes=[credential.digest], now=now))
    else:
        idle = made.settings.session_idle
        good = users.session_user(connection, token_hash=credential.digest, now=now, idle=idle) is not None
    if not good:
        raise Problem(401, "Sign in again.")
