"""Whether a name is that of a project."""

from tidegate_api.projects import is_former

from tidegate_web.services import Services
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import run_list
from tidegate_web.store.queries.run_list import RunFilter


def require_project(made: Services, project: str, *, to_write: bool = False) -> None:
    """404 for what is no project, and never was: one that lost its label, or its namespace, is still read, but not written to."""
    if is_dns_label(project) or is_former(project):
        if project in made.projects.directory:
            return
        if not to_write:
            with made.engine.connect() as connection:
                if run_list.page(connection, project=project, wanted=RunFilter(), limit=1).rows:
                    return
    raise Problem(404, "There is no such project.")
