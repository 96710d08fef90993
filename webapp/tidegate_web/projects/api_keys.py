"""API keys of a project: created, listed without their secret, taken over, revoked."""

from collections.abc import Sequence
from datetime import datetime

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.auth.credentials import check_still_good
from tidegate_web.auth.tokens import new_api_key, shown_prefix, token_hash
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.queries import keys
from tidegate_web.store.queries.keys import KeyRow, ListedKeyRow


def listed(made: Services, project: str, *, prefix: str | None = None) -> list[ListedKeyRow]:
    """The keys that aren't revoked, newest first; those that begin so."""
    with made.engine.connect() as connection:
        return keys.listed(connection, project=project, now=made.clock.now(), prefix=prefix)


def create(
    made: Services,
    actor: Actor,
    project: str,
    *,
    name: str,
    role: Role,
    tasks: Sequence[str] | None,
    expires: datetime | None,
) -> tuple[KeyRow, str]:
    """A new key: what is kept of it, and the key itself, which can't be shown again."""
    require_project(made, project, to_write=True)
    ends = _end_of(actor, expires, now=made.clock.now())
    key = new_api_key()
    detail = {"name": name, "role": role.label, "tasks": tasks}
    with (
        audited(made, actor, "api-key.create", project=project, target=shown_prefix(key), detail=detail),
        made.engine.begin() as connection,
    ):
        row = keys.create(
            connection,
            project=project,
            name=name,
            prefix=shown_prefix(key),
            key_hash=token_hash(key),
            role=int(role),
            tasks=tasks,
            created_by=actor.name,
            owner_id=actor.caller.answers,
            expires=ends,
        )
        check_still_good(made, connection, actor)
    return row, key


def _end_of(actor: Actor, expires: datetime | None, *, now: datetime) -> datetime | None:
    """When a new key ends: not after the key that creates it."""
    if expires is not None and expires <= now:
        raise invalid("expiresAt", "must be in the future")
    most = actor.caller.expires
    if most is None:
        return expires
    if expires is not None and expires > most:
        raise invalid("expiresAt", "must not be after the end of the key that makes this one")
    return expires or most


def revoke(made: Services, actor: Actor, project: str, key_id: int) -> None:
    """End a key; what it is used for gets 401 from now on."""
    with audited(made, actor, "api-key.revoke", project=project, target=str(key_id)):
        with made.engine.begin() as connection:
            row = keys.revoke(connection, project=project, key_id=key_id, now=made.clock.now())
        if row is None:
            raise Problem(404, "There is no such key.")
        made.auth.callers.forget(row.key_hash)


def take_over(made: Services, actor: Actor, project: str, key_id: int) -> KeyRow:
    """Become the user who answers for a key. It goes on when the one who created it has left the project."""
    actor.check_lasting("answer for a key")
    require_project(made, project, to_write=True)
    with (
        audited(made, actor, "api-key.hand-over", project=project, target=str(key_id)),
        made.engine.begin() as connection,
    ):
        row = keys.take_over(connection, project=project, key_id=key_id, owner_id=actor.caller.answers)
        if row is None:
            raise Problem(404, "There is no such key.")
        check_still_good(made, connection, actor)
    return row
