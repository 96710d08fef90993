"""Who asks a service for something. An edge makes one of each request: services see no request and no session."""

from dataclasses import dataclass, field

from tidegate_web.auth.caller import Caller
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries.users import UserRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """What a request was let in by: an API key, else a session, by the hash of its token."""

    digest: bytes = field(repr=False)
    is_key: bool


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who asks, from where, and what they are in which project."""

    name: str
    """Whom the audit log and `requested-by` name."""
    address: str
    """The client's, for the audit log; empty where there is none."""
    caller: Caller
    """Their roles, and the Tasks that an API key is limited to."""
    credential: Credential | None = None
    """None for a run, and for who hasn't signed in."""

    @property
    def user(self) -> UserRow:
        """The person, where the route's permission lets no key in."""
        assert self.caller.user is not None
        return self.caller.user

    def role_in(self, project: str) -> Role | None:
        """Their role in a project, None for none."""
        return self.caller.role_in(project)

    def check_task(self, task: str | None) -> None:
        """403 for a key that is limited to other tasks."""
        if not self.caller.may_act_on(task):
            raise Problem(403, "This key is limited to other tasks.")

    def check_all_tasks(self) -> None:
        """403 for a key of some tasks: it has no say over what all runs share."""
        if self.caller.tasks is not None:
            raise Problem(403, "This key is limited to some tasks.")

    def check_lasting(self, what: str) -> None:
        """403 for a key that expires and would make something that stays: else its expiry would be worth nothing."""
        if self.caller.expires is not None:
            raise Problem(403, f"A key that expires can't {what}, which would outlast it.")


def run_actor(name: str, *, project: str, address: str) -> Actor:
    """A run that makes and ends children, with the rights of an operator of its own project."""
    actor = f"run {name}"
    return Actor(name=actor, address=address, caller=Caller(name=actor, roles={project: Role.OPERATOR}))
