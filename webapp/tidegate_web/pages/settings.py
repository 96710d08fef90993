"""The page of a project's settings: how much the archive keeps for it, and for how long."""

from flask import Blueprint, render_template
from werkzeug.wrappers import Response

from tidegate_web.api import bodies
from tidegate_web.api import project_settings as api
from tidegate_web.api.models import ProjectSettings
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.pages.forms import Shown, carry_out, text
from tidegate_web.projects import settings
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem


def _page(project: str, shown: Shown) -> str:
    made = services()
    return render_template(
        "settings.html",
        project=project,
        settings=api.settings_json(made, project),
        default_days=made.settings.retention_days,
        **shown,
    )


def _wanted() -> ProjectSettings:
    choice, days = text("keep"), text("days").strip()
    if choice == "default":
        wanted = None
    elif choice == "forever":
        wanted = 0
    elif days.isascii() and days.isdecimal() and 0 < len(days) <= 9 and int(days):
        wanted = int(days)
    else:
        raise Problem(422, "Days: a whole number, at least 1.")
    return bodies.validated(ProjectSettings, {"retentionDays": wanted})


def _save(made: Services, project: str) -> Shown:
    settings.change(made, actor(), project, retention_days=_wanted().retention_days)
    return {"done": "Saved."}


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/settings")
    @requires(Permission.ADMIN)
    def settings_page(project: str) -> str:
        require_project(services(), project)
        return _page(project, {})

    @area.post("/projects/<project>/settings")
    @requires(Permission.ADMIN)
    def change_settings(project: str) -> Response | tuple[str, int]:
        return carry_out({"save": lambda: _save(services(), project)}, lambda shown: _page(project, shown))
