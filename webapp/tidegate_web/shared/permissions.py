"""Who may do what: every route says its permission, and one that says none is refused.

Roles grow from viewer to admin; an instance admin is admin of every project.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from typing import TypeVar

View = TypeVar("View", bound=Callable[..., object])

_ATTRIBUTE = "_tidegate_permission"
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Role(IntEnum):
    """The role of a user or a key in a project; each may do what the one before may."""

    VIEWER = 1
    OPERATOR = 2
    DEVELOPER = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """As the API and people say it."""
        return self.name.lower()

    @classmethod
    def named(cls, name: object) -> "Role | None":
        """The role of that label."""
        return next((role for role in cls if role.label == name), None)


class Permission(Enum):
    """What a route requires of its caller."""

    PUBLIC = "anyone, also without signing in"
    SIGNED_IN = "anyone who is signed in, people and API keys"
    PERSON = "people who are signed in, no API key"
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


def permission_of(view: Callable[..., object] | None) -> Permission | None:
    """What a view has declared, None when it hasn't."""
    return getattr(view, _ATTRIBUTE, None)


def refused_fields(body: Mapping[str, object], *, role: Role | None, tasks: frozenset[str] | None) -> dict[str, str]:
    """What of a new run's body may not be sent by this role, or by a key that is limited to some tasks; and why."""
    if role is None:
        return dict.fromkeys(body, "needs a role in the project")
    if role >= Role.DEVELOPER and tasks is None:
        return {}
    words = "needs the role developer" if tasks is None else "can't be sent with a key that is limited to some tasks"
    refused = {field: words for field in sorted(body) if field not in OPERATOR_FIELDS}
    if tasks is not None:
        reference = body.get("taskRef")
        name = reference.get("name") if isinstance(reference, dict) else None
        if not isinstance(name, str) or name not in tasks:
            refused["taskRef"] = "names no task that this key may run"
    return refused


def is_dns_label(name: str) -> bool:
    """Whether Kubernetes takes this as a name of a run, task, queue or namespace."""
    return _DNS_LABEL.fullmatch(name) is not None
