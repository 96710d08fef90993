"""The overview of a project: how it fares, what fails, what waits, and what comes next."""

from flask import Blueprint, render_template, request

from tidegate_web.current_app import services
from tidegate_web.definitions.summary import summary_of
from tidegate_web.health.dependencies import dependencies
from tidegate_web.pages import charts
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.project_overview import DEFAULT_RANGE, RANGES, project_overview
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import invalid


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/overview")
    @requires(Permission.VIEWER)
    def overview_page(project: str) -> str:
        made = services()
        require_project(made, project)
        name = request.args.get("range") or DEFAULT_RANGE
        if name not in RANGES:
            raise invalid("range", f"must be one of {', '.join(RANGES)}")
        return render_template(
            "_overview.html" if fragment_wanted() else "overview.html",
            project=project,
            found=project_overview(made, project, RANGES[name]),
            range=RANGES[name],
            ranges=RANGES.values(),
            definitions=summary_of(made, project),
            dependencies=dependencies(made),
            charts=charts,
            now=made.clock.now(),
        )
