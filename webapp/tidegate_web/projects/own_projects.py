"""The projects in which a caller has a role, and how an admin of the installation creates one."""

from tidegate_api.projects import is_former

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.auth.caller import Caller
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.projects.directory import NoProjectError
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import project_namespaces


def current_projects(made: Services, caller: Caller | None) -> dict[str, Role]:
    """Those that there are now, with the caller's role; none for who hasn't signed in."""
    if caller is None:
        return {}
    roles = {name: caller.role_in(name) for name in made.projects.directory.names()}
    return {name: role for name, role in roles.items() if role is not None}


def former_projects(made: Services, caller: Caller | None) -> dict[str, Role]:
    """Those whose namespace was deleted and whose name another namespace has now: what is kept of them can be read."""
    if caller is None:
        return {}
    if caller.instance_admin:
        return dict.fromkeys(with_fallback(lambda: _all_former(made), list), Role.ADMIN)
    roles = {name: caller.role_in(name) for name in sorted(caller.roles) if is_former(name)}
    return {name: role for name, role in roles.items() if role is not None}


def _all_former(made: Services) -> list[str]:
    with made.engine.connect() as connection:
        return project_namespaces.all_former(connection)


def create(made: Services, actor: Actor, name: str) -> bool:
    """Create a project; False when it is one already."""
    with audited(made, actor, "project.create", project=name):
        try:
            return made.projects.directory.make(name, who=actor.name)
        except NoProjectError as error:
            raise Problem(409, str(error)) from error
        except ClusterError as error:
            raise from_cluster(error) from error
