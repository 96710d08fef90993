"""Whether the author of a bulk operation may still do it: an operation goes on for minutes, and rights end meanwhile."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from tidegate_web.shared.permissions import Role
from tidegate_web.store.queries import keys, members, users
from tidegate_web.store.queries.bulk import OperationRow

ACTIONS: Mapping[str, Role] = {"cancel": Role.OPERATOR, "replay": Role.OPERATOR, "delete": Role.ADMIN}
"""What each action needs."""


def may_go_on(connection: Connection, operation: OperationRow, *, now: datetime) -> bool:
    """Whether the author still has the role in the operation's project, and a key its list of tasks."""
    name: str = operation.requested_by
    if name.startswith(keys.ACTOR_PREFIX):
        key = keys.usable(connection, project=operation.project, prefix=name.removeprefix(keys.ACTOR_PREFIX), now=now)
        same = key is not None and (None if key.tasks is None else sorted(key.tasks)) == operation.tasks
        return key is not None and same and key.role >= ACTIONS[operation.action]
    user = users.by_email(connection, name)
    if user is None:
        return False
    role = members.roles_of(connection, user_id=user.id).get(operation.project)
    return user.instance_admin or (role is not None and role >= ACTIONS[operation.action])
