"""API keys as a way in: ``Authorization: Bearer tg_…`` opens one project, with the key's role and for its tasks."""

from tidegate_web.auth.caller import Caller
from tidegate_web.auth.tokens import token_hash
from tidegate_web.permissions import Role
from tidegate_web.services import Services
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import keys


def caller_of_key(made: Services, key: str) -> Caller | None:
    """Whom a key stands for, None when it is none (any more). While Postgres is away the last answer stands."""
    digest = token_hash(key)
    try:
        with made.engine.begin() as connection:
            row = keys.good(connection, key_hash=digest, now=made.clock.now())
    except Exception as error:
        if not is_unavailable(error):
            raise
        known = made.callers.recall(digest)
        if known is None:
            raise
        return known
    if row is None:
        made.callers.forget(digest)
        return None
    caller = Caller(
        name=f"api-key:{row.prefix}",
        roles={row.project: Role(row.role)},
        tasks=None if row.tasks is None else frozenset(row.tasks),
    )
    made.callers.keep(digest, caller)
    return caller
