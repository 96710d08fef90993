"""What groups give and take: memberships and the installation's admins follow what a sign-in provider says of a user."""

from collections.abc import Iterable

from sqlalchemy import Connection

from tidegate_web.auth.groups import GroupRoles
from tidegate_web.store.queries import members, users
from tidegate_web.store.queries.users import AccountRow


def follow_groups(connection: Connection, *, mapping: GroupRoles, user: AccountRow, groups: Iterable[str]) -> bool:
    """Make what groups give exactly this; whether the user is an admin of the installation now."""
    grants = mapping.grants(groups)
    admin: bool = user.instance_admin
    if mapping:
        roles = {project: int(role) for project, role in grants.roles.items()}
        members.follow_groups(connection, user_id=user.id, roles=roles)
    # The last admin stays one, whatever the groups say: else no user could correct the setting.
    if (
        mapping.admins
        and admin is not grants.instance_admin
        and (grants.instance_admin or users.other_admins(connection, than=user.id))
    ):
        admin = grants.instance_admin
        users.change(connection, user_id=user.id, values={"instance_admin": admin})
    return admin
