"""The page of all projects, where admins of the installation make new ones."""

from flask import Blueprint, render_template, url_for
from werkzeug.wrappers import Response

from tidegate_web.api import bodies
from tidegate_web.api.models import NewProject
from tidegate_web.auth.guard import actor, caller
from tidegate_web.current_app import services
from tidegate_web.pages.forms import Shown, carry_out, text
from tidegate_web.projects import own_projects
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires


def projects_page(shown: Shown) -> str:
    made = services()
    return render_template(
        "projects.html",
        fixed=made.projects.directory.are_fixed,
        former=list(own_projects.former_projects(made, caller())),
        **shown,
    )


def _create(made: Services) -> None:
    wanted = bodies.validated(NewProject, {"name": text("name").strip()})
    own_projects.create(made, actor(), wanted.name)
    made.projects.directory.gets_ready(wanted.name)


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects")
    @requires(Permission.SIGNED_IN)
    def list_projects() -> str:
        return projects_page({})

    @area.post("/projects")
    @requires(Permission.INSTANCE_ADMIN)
    def change_projects() -> Response | tuple[str, int]:
        there = url_for("pages.list_runs", project=text("name").strip() or "-")
        return carry_out({"create": lambda: _create(services())}, projects_page, to=there)
