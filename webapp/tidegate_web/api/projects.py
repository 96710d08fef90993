"""Projects over HTTP: which there are for the caller, and new ones, made by admins of the installation."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import NewProject
from tidegate_web.api.response_types import Items, Project, ProjectOfCaller
from tidegate_web.auth.guard import actor, caller
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Flag
from tidegate_web.projects import own_projects
from tidegate_web.projects.existing import require_project
from tidegate_web.shared.permissions import Permission, requires

FORMER = Flag(
    name="former", description="Those whose namespace was deleted and whose name another namespace has now, instead."
)


def project_json(name: str, *, ready: bool) -> Project:
    asks = caller()
    role = asks.role_in(name) if asks is not None else None
    return {"name": name, "role": None if role is None else role.label, "ready": ready}


def add_routes(area: Blueprint) -> None:
    """The routes of projects themselves."""

    @area.get("/projects")
    @requires(Permission.SIGNED_IN)
    @describes("List one's projects", parameters=[FORMER], answer=Items[ProjectOfCaller])
    def list_projects() -> Response:
        of = own_projects.former_projects if FORMER.asked() else own_projects.current_projects
        mine = of(services(), caller())
        found: Items[ProjectOfCaller] = {"items": [{"name": name, "role": role.label} for name, role in mine.items()]}
        return jsonify(found)

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
        new = own_projects.create(made, actor(), wanted.name)
        response = jsonify(project_json(wanted.name, ready=made.projects.directory.gets_ready(wanted.name)))
        response.headers["Location"] = f"/api/v1/projects/{wanted.name}"
        return response, 201 if new else 200

    @area.get("/projects/<project>")
    @requires(Permission.VIEWER)
    @describes("Look at a project", answer=Project)
    def get_project(project: str) -> Response:
        made = services()
        require_project(made, project)
        return jsonify(project_json(project, ready=made.projects.directory.is_ready(project)))
