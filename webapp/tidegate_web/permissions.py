"""Who may do what: every route says its permission, and one that says none is refused.

Roles grow from viewer to admin; an instance admin is admin of every project. Members of projects come with their own
tables; until then instance admins are the only people with a role.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from typing import Any, TypeVar

from tidegate_web.store.queries.users import UserRow

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "_tidegate_permission"
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Role(IntEnum):
    """What somebody is in a project; each may do what the one before may."""

    VIEWER = 1
    OPERATOR = 2
    DEVELOPER = 3
    ADMIN = 4


class Permission(Enum):
    """What a route asks of whoever calls it."""

    PUBLIC = "anyone, also without signing in"
    SIGNED_IN = "anyone who is signed in"
    VIEWER = Role.VIEWER
    OPERATOR = Role.OPERATOR
    DEVELOPER = Role.DEVELOPER
    ADMIN = Role.ADMIN
    INSTANCE_ADMIN = "an admin of the installation"
    RUN_TOKEN = "a pod, by the token of its run"  # noqa: S105 - no secret


OPERATOR_FIELDS = frozenset(
    {
        "name", "taskRef", "payload", "queue", "concurrencyKey", "priority", "suspend", "startAfter",
        "timeoutSeconds", "startTimeoutSeconds", "deadlineSeconds", "startDeadlineSeconds",
        "dependsOn", "tags", "batch", "idempotencyKey",
    }
)  # fmt: skip
"""What an operator may send with a new run. More would be any image with any Secret of the namespace."""


def requires(permission: Permission) -> Callable[[View], View]:
    """Declare what a view asks for."""

    def declare(view: View) -> View:
        setattr(view, _ATTRIBUTE, permission)
        return view

    return declare


def permission_of(view: Callable[..., Any] | None) -> Permission | None:
    """What a view has declared, None when it hasn't."""
    return getattr(view, _ATTRIBUTE, None)


def role_of(user: UserRow | None, project: str) -> Role | None:
    """What a user is in a project."""
    del project  # memberships will be asked about it
    if user is not None and user.instance_admin:
        return Role.ADMIN
    return None


def allowed(permission: Permission, user: UserRow | None, arguments: Mapping[str, Any]) -> bool:
    """Whether the user may call a route with these arguments. Run tokens are checked by the view itself."""
    if permission in (Permission.PUBLIC, Permission.RUN_TOKEN):
        return True
    if user is None:
        return False
    if permission is Permission.SIGNED_IN:
        return True
    if permission is Permission.INSTANCE_ADMIN:
        return user.instance_admin
    project = arguments.get("project")
    role = role_of(user, project) if isinstance(project, str) else None
    return role is not None and isinstance(permission.value, Role) and role >= permission.value


def may_send(role: Role, fields: frozenset[str]) -> frozenset[str]:
    """The fields of a new run that this role may not send; empty when all is well."""
    return frozenset() if role >= Role.DEVELOPER else fields - OPERATOR_FIELDS


def is_dns_label(name: str) -> bool:
    """Whether Kubernetes takes this as a name of a run, task, queue or namespace."""
    return _DNS_LABEL.fullmatch(name) is not None
