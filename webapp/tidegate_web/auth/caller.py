"""Who asks: a person by their session, or a pipeline by its API key. Plain data, so that it can be remembered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NotRequired, Self, TypedDict

from tidegate_web.shared.permissions import Permission, Role
from tidegate_web.shared.times import parse_time
from tidegate_web.store.queries.users import UserRow


class CallerJson(TypedDict):
    """A caller as Redis remembers it. What an earlier version wrote may lack a field."""

    name: str
    user: tuple[int, str, str, bool] | None
    roles: dict[str, int]
    tasks: list[str] | None
    columns: NotRequired[list[str] | None]
    zone: NotRequired[str | None]
    owner: NotRequired[int | None]
    expires: NotRequired[str | None]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The user or key that a request comes from, and their roles."""

    name: str
    """Whom the audit log and `requested-by` name: an email, or ``api-key:<prefix>``."""
    user: UserRow | None = None
    """None for an API key."""
    owner_id: int | None = None
    """Of an API key: the user who answers for it."""
    expires: datetime | None = None
    """Of an API key: when it ends; None for never."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """By project. An instance admin is admin of all, also of those not named here."""
    tasks: frozenset[str] | None = None
    """The Tasks that an API key may act on; None: all."""

    @property
    def instance_admin(self) -> bool:
        return self.user is not None and self.user.instance_admin

    def role_in(self, project: str) -> Role | None:
        """What they are in a project, None for nothing. A key of some tasks is an operator at most: whatever makes keys,
        webhooks or Tasks would make its list worth nothing."""
        role = Role.ADMIN if self.instance_admin else self.roles.get(project)
        return role if role is None or self.tasks is None else min(role, Role.OPERATOR)

    @property
    def answers(self) -> int | None:
        """The user who answers for what this caller makes."""
        return self.owner_id if self.user is None else self.user.id

    def may(self, permission: Permission, arguments: Mapping[str, object]) -> bool:
        """Whether they may call a route of this permission with these arguments."""
        if permission in (Permission.PUBLIC, Permission.SIGNED_IN):
            return True
        if permission is Permission.PERSON:
            return self.user is not None
        if permission is Permission.INSTANCE_ADMIN:
            return self.instance_admin
        project = arguments.get("project")
        role = self.role_in(project) if isinstance(project, str) else None
        return role is not None and isinstance(permission.value, Role) and role >= permission.value

    def may_act_on(self, task: str | None) -> bool:
        """Whether a run of this Task, None for an inline one, is theirs to act on."""
        return self.tasks is None or task in self.tasks

    def as_json(self) -> CallerJson:
        user = self.user
        return {
            "name": self.name,
            "user": None if user is None else (user.id, user.email, user.name, user.instance_admin),
            "columns": None if user is None or user.run_columns is None else list(user.run_columns),
            "zone": None if user is None else user.time_zone,
            "roles": {project: int(role) for project, role in self.roles.items()},
            "tasks": None if self.tasks is None else sorted(self.tasks),
            "owner": self.owner_id,
            "expires": None if self.expires is None else self.expires.isoformat(),
        }

    @classmethod
    def from_json(cls, kept: CallerJson) -> Self:
        user = kept["user"]
        return cls(
            name=kept["name"],
            user=None
            if user is None
            else UserRow(
                id=user[0],
                email=user[1],
                name=user[2],
                instance_admin=user[3],
                time_zone=kept.get("zone"),
                run_columns=None if (columns := kept.get("columns")) is None else tuple(columns),
            ),
            owner_id=kept.get("owner"),
            expires=parse_time(kept.get("expires")),
            roles={project: Role(role) for project, role in kept["roles"].items()},
            tasks=None if kept["tasks"] is None else frozenset(kept["tasks"]),
        )
