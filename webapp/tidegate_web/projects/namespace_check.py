"""Closes a project while its data belongs to another namespace than the one that has its name now (``mirror/namespace_uids.py``).

In the steady state it asks nothing: the uid of the namespace is known from the last look at the cluster, and that of the data
is remembered once both have agreed.
"""

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.projects.directory import Namespace, Projects
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import project_namespaces

RETRY_SECONDS = 2


class NamespaceCheck:
    """One process's knowledge of which projects are bound to the namespaces that they have."""

    def __init__(self, *, projects: Projects, engine: Engine) -> None:
        self._projects = projects
        self._engine = engine
        self._bound: dict[str, str] = {}
        """The uid to which a project was bound when it was last asked, by project. A uid is never used again."""

    def check(self, project: str) -> None:
        """503 while the project's data isn't this namespace's. Where the cluster doesn't give the uid, or Postgres is away and
        nothing speaks against it, the project is open: what Postgres grants is from before then."""
        namespace = self._projects.namespace(project)
        if namespace is None or self._bound.get(project) == namespace.uid:
            return
        try:
            if self._ask(project, namespace):
                return
            # The mirror may know of a newer namespace than this process.
            self._projects.forget()
            newer = self._projects.namespace(project)
            if newer is None or (newer != namespace and self._ask(project, newer)):
                return
        except SQLAlchemyError as error:
            if not is_unavailable(error):
                raise
            if project not in self._bound:
                return
        raise Problem(
            503,
            "The namespace of this project was made again. The data of the one before is being set apart; try again.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )

    def _ask(self, project: str, namespace: Namespace) -> bool:
        """Whether the project is bound to this namespace; binds it where it was never bound."""
        with self._engine.connect() as connection:
            bound = project_namespaces.bound(connection, project=project)
        if bound is None:
            with self._engine.begin() as connection:
                project_namespaces.bind_first(connection, project=project, uid=namespace.uid, created=namespace.created)
                bound = project_namespaces.bound(connection, project=project)
        if bound is None or bound.uid != namespace.uid or bound.moving:
            return False
        self._bound[project] = bound.uid
        return True
