"""From the groups that a sign-in provider reports to roles here. Pure.

The setting reads ``group=project:role, group=project:role, group=instance-admin``; a group may be named more than once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from tidegate_web.shared.permissions import Role, is_dns_label

INSTANCE_ADMIN = "instance-admin"


@dataclass(frozen=True, kw_only=True)
class Grants:
    """What a user gets by their groups."""

    roles: Mapping[str, Role] = field(default_factory=dict)
    """By project; of several the highest."""
    instance_admin: bool = False


@dataclass(frozen=True, kw_only=True)
class GroupRoles:
    """The mapping as an administrator has set it."""

    projects: tuple[tuple[str, str, Role], ...] = ()
    """(group, project, role)"""
    admins: frozenset[str] = frozenset()
    """Groups whose members are admins of the installation."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the setting, or raise ValueError that says which part is wrong."""
        projects, admins = [], set()
        for part in (each.strip() for each in text.split(",")):
            if not part:
                continue
            group, equals, grant = part.rpartition("=")
            if not equals or not group:
                raise ValueError(f"{part!r} is not 'group=project:role' or 'group={INSTANCE_ADMIN}'")
            if grant == INSTANCE_ADMIN:
                admins.add(group)
                continue
            project, _, label = grant.partition(":")
            role = Role.named(label)
            if role is None or not is_dns_label(project):
                raise ValueError(f"{part!r} is not 'group=project:role' or 'group={INSTANCE_ADMIN}'")
            projects.append((group, project, role))
        return cls(projects=tuple(projects), admins=frozenset(admins))

    def __bool__(self) -> bool:
        return bool(self.projects or self.admins)

    def grants(self, groups: Iterable[str]) -> Grants:
        """What these groups give together."""
        mine = frozenset(groups)
        roles: dict[str, Role] = {}
        for group, project, role in self.projects:
            if group in mine:
                roles[project] = max(role, roles.get(project, role))
        return Grants(roles=roles, instance_admin=bool(mine & self.admins))
