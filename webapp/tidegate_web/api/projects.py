"""Projects over HTTP: which there are for whoever asks, and new ones, made by admins of the installation."""

from flask import Blueprint, Response, jsonify
from tidegate_api.projects import is_former

from tidegate_web.api import bodies
from tidegate_web.api.models import NewProject
from tidegate_web.api.response_types import Items, Project, ProjectOfCaller
from tidegate_web.audit.audited import audited
from tidegate_web.auth.guard import actor, caller
from tidegate_web.cluster.client import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Flag
from tidegate_web.projects.directory import NoProjectError
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import project_namespaces

FORMER = Flag(
    name="former", description="Those whose namespace was deleted and whose name another namespace has now, instead."
)


def my_projects(made: Services) -> dict[str, Role]:
    """Those in which whoever asks has a role."""
    asks = caller()
    roles = {name: asks.role_in(name) for name in made.projects.names()} if asks is not None else {}
    return {name: role for name, role in roles.items() if role is not None}


def former_projects(made: Services) -> dict[str, Role]:
    """Those whose namespace was deleted and whose name another namespace has now: what is kept of them can be read."""
    asks = caller()
    if asks is None:
        return {}
    if asks.instance_admin:
        return dict.fromkeys(with_fallback(lambda: _all_former(made), list), Role.ADMIN)
    return {name: role for name in sorted(asks.roles) if is_former(name) and (role := asks.role_in(name)) is not None}


def _all_former(made: Services) -> list[str]:
    with made.engine.connect() as connection:
        return project_namespaces.all_former(connection)


def project_json(name: str, *, ready: bool) -> Project:
    asks = caller()
    role = asks.role_in(name) if asks is not None else None
    return {"name": name, "role": None if role is None else role.label, "ready": ready}


def make_project(made: Services, wanted: NewProject) -> bool:
    """Make a project; False when it is one already."""
    with audited(made, actor(), "project.create", project=wanted.name):
        try:
            return made.projects.make(wanted.name, who=actor().name)
        except NoProjectError as error:
            raise Problem(409, str(error)) from error
        except ClusterError as error:
            raise from_cluster(error) from error


def add_routes(area: Blueprint) -> None:
    """The routes of projects themselves."""

    @area.get("/projects")
    @requires(Permission.SIGNED_IN)
    @describes("List one's projects", parameters=[FORMER], answer=Items[ProjectOfCaller])
    def list_projects() -> Response:
        mine = former_projects(services()) if FORMER.asked() else my_projects(services())
        told: Items[ProjectOfCaller] = {"items": [{"name": name, "role": role.label} for name, role in mine.items()]}
        return jsonify(told)

    @area.post("/projects")
    @requires(Permission.INSTANCE_ADMIN)
    @describes(
        "Make a project, a namespace of its own; 200 for one that is there",
        name="create_project",
        body=NewProject,
        answer=Project,
        status=[200, 201],
        headers=["Location"],
        problems=[409],
    )
    def new_project() -> tuple[Response, int]:
        made, wanted = services(), bodies.read(NewProject)
        new = make_project(made, wanted)
        response = jsonify(project_json(wanted.name, ready=made.projects.gets_ready(wanted.name)))
        response.headers["Location"] = f"/api/v1/projects/{wanted.name}"
        return response, 201 if new else 200

    @area.get("/projects/<project>")
    @requires(Permission.VIEWER)
    @describes("Tell of a project", answer=Project)
    def get_project(project: str) -> Response:
        made = services()
        require_project(made, project)
        return jsonify(project_json(project, ready=made.projects.is_ready(project)))
