"""API keys as a way in: ``Authorization: Bearer tg_…`` opens one project, with the key's role and for its tasks."""

from tidegate_web.auth.caller import Caller
from tidegate_web.auth.tokens import token_hash
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.store.queries.keys import ACTOR_PREFIX


def caller_of_key(made: Services, key: str) -> Caller | None:
    """Whom a key stands for, None when it is none (any more). While Postgres is away the last answer stands."""
    digest = token_hash(key)

    def find() -> Caller | None:
        row = made.auth.good_key(digest)
        if row is None:
            return None
        return Caller(
            name=f"{ACTOR_PREFIX}{row.prefix}",
            roles={row.project: Role(row.role)},
            owner_id=row.owner_id,
            expires=row.expires,
            tasks=None if row.tasks is None else frozenset(row.tasks),
        )

    found = made.auth.callers.ask(digest, find)
    # What is remembered while Postgres is away may have ended since.
    over = found is not None and found.expires is not None and found.expires <= made.clock.now()
    return None if over else found
