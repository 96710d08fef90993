"""Who asks a service for something. An edge makes one of each request: services see no request and no session."""

from dataclasses import dataclass

from tidegate_web.auth.caller import Caller
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who asks, from where, and what they are in which project."""

    name: str
    """Whom the audit log and `requested-by` name."""
    address: str
    """The client's, for the audit log; empty where there is none."""
    caller: Caller
    """Their roles, and the Tasks that an API key is limited to."""

    def role_in(self, project: str) -> Role | None:
        """Their role in a project, None for none."""
        return self.caller.role_in(project)

    def check_task(self, task: str | None) -> None:
        """403 for a key that is limited to other tasks."""
        if not self.caller.may_act_on(task):
            raise Problem(403, "This key is limited to other tasks.")


def run_actor(name: str, *, project: str, address: str) -> Actor:
    """A run that makes and ends children, with the rights of an operator of its own project."""
    actor = f"run {name}"
    return Actor(name=actor, address=address, caller=Caller(name=actor, roles={project: Role.OPERATOR}))
