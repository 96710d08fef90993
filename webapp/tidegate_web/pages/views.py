"""The pages. What changes live is rendered by the same templates for the page and for its refreshes."""

from flask import Blueprint, redirect, render_template, url_for
from flask_wtf.csrf import generate_csrf  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from tidegate_web import __version__
from tidegate_web.auth.guard import caller, role_here, signed_in
from tidegate_web.current_app import services
from tidegate_web.health.dependencies import dependencies
from tidegate_web.pages import (
    backfill,
    batches,
    bulk,
    definitions,
    delete_definition,
    edit_definition,
    formatting,
    logtext,
    overview,
    people,
    pool_page,
    projects,
    queue_page,
    replay_page,
    run_columns,
    run_export,
    run_graph,
    run_list,
    run_page,
    run_views,
    schedule_page,
    settings,
    task_page,
    usage,
    webhooks,
)
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.projects import projects_page
from tidegate_web.projects.own_projects import current_projects
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.phases import ACTIVE_PHASES, TERMINAL_PHASES


def blueprint() -> Blueprint:
    """The routes of this area."""
    area = Blueprint("pages", __name__)
    projects.add_routes(area)
    overview.add_routes(area)
    run_list.add_routes(area)
    run_columns.add_routes(area)
    run_views.add_routes(area)
    run_page.add_routes(area)
    replay_page.add_routes(area)
    run_graph.add_routes(area)
    bulk.add_routes(area)
    run_export.add_routes(area)
    definitions.add_routes(area)
    batches.add_routes(area)
    backfill.add_routes(area)
    edit_definition.add_routes(area)
    delete_definition.add_routes(area)
    task_page.add_routes(area)
    queue_page.add_routes(area)
    pool_page.add_routes(area)
    schedule_page.add_routes(area)
    logtext.add_routes(area)
    people.add_routes(area)
    webhooks.add_routes(area)
    usage.add_routes(area)
    settings.add_routes(area)

    @area.app_context_processor
    def common() -> JsonObject:
        return {
            "user": signed_in(),
            "projects": list(current_projects(services(), caller())),
            "role_in": role_here,
            "Role": Role,
            "csrf": generate_csrf,
            "version": __version__,
            "format": formatting,
            "all_phases": ACTIVE_PHASES + TERMINAL_PHASES,
            "terminal_phases": TERMINAL_PHASES,
        }

    @area.get("/")
    @requires(Permission.SIGNED_IN)
    def home() -> Response | str:
        mine = list(current_projects(services(), caller()))
        if len(mine) == 1:
            return redirect(url_for("pages.list_runs", project=mine[0]))
        return projects_page({})

    @area.get("/health")
    @requires(Permission.SIGNED_IN)
    def health() -> str:
        made = services()
        template = "_health.html" if fragment_wanted() else "health.html"
        return render_template(template, dependencies=dependencies(made))

    @area.get("/favicon.ico")
    @requires(Permission.PUBLIC)
    def favicon() -> Response:
        return redirect(url_for("static", filename="favicon.svg"))

    return area
