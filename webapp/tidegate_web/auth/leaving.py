"""What becomes of the API keys of a user who is disabled: they end, or another user answers for them from now on."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import audit, keys, members, users
from tidegate_web.store.queries.keys import OwnedKeyRow
from tidegate_web.store.queries.users import AccountRow


def part_from_keys(
    connection: Connection, *, owner: AccountRow, to: int | None, now: datetime, actor: str, address: str
) -> Sequence[bytes]:
    """End the keys of a user, or hand them over; the hashes of those that ended. 422 when the other may not have them."""
    rows = keys.owned(connection, owner_id=owner.id, lock=True)
    heir = None if to is None else _heir(connection, to=to, owner=owner, rows=rows)
    if heir is None:
        keys.revoke_owned(connection, owner_id=owner.id, now=now)
    else:
        keys.hand_over(connection, owner_id=owner.id, to=heir.id)
    for row in rows:
        audit.write(
            connection,
            actor=actor,
            address=address,
            action="api-key.revoke" if heir is None else "api-key.hand-over",
            outcome="done",
            project=row.project,
            target=row.prefix,
            detail={"owner": owner.email} | ({} if heir is None else {"to": heir.email}),
        )
    return [row.key_hash for row in rows] if heir is None else []


def _heir(connection: Connection, *, to: int, owner: AccountRow, rows: Sequence[OwnedKeyRow]) -> AccountRow:
    """Who takes the keys over: another user who may sign in and has the keys' roles in their projects."""
    heir = users.shown(connection, user_id=to)
    if heir is None or heir.disabled_at is not None or heir.id == owner.id:
        raise Problem(422, "keysTo: there is no such user who could take the keys over.")
    roles = {} if heir.instance_admin else members.roles_of(connection, user_id=heir.id)
    for row in rows:
        if not heir.instance_admin and roles.get(row.project, 0) < row.role:
            label = Role(row.role).label
            raise Problem(
                422, f"keysTo: {heir.email} needs the role {label} in {row.project} for the key {row.prefix}."
            )
    return heir
