"""The pages. What changes live is rendered by the same templates for the page and for its refreshes."""

from flask import Blueprint, redirect, render_template, url_for
from flask_wtf.csrf import generate_csrf  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from tidegate_web import __version__
from tidegate_web.api import responses
from tidegate_web.auth.guard import actor, caller, role_here, signed_in
from tidegate_web.current_app import services
from tidegate_web.health.dependencies import dependencies
from tidegate_web.pages import (
    bulk,
    definitions,
    formatting,
    logtext,
    overview,
    people,
    projects,
    run_export,
    run_list,
    settings,
    webhooks,
)
from tidegate_web.pages.fragments import fragment_wanted, last_event
from tidegate_web.pages.manifest import kubectl_commands, manifest
from tidegate_web.pages.previous import previous_runs
from tidegate_web.pages.projects import projects_page
from tidegate_web.pages.specs import spec_shown
from tidegate_web.projects.existing import require_project
from tidegate_web.projects.own_projects import current_projects
from tidegate_web.runs import listing
from tidegate_web.runs.actions import cancel, replay, suspend
from tidegate_web.runs.lookup import details_of, find
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.task_spec import run_spec_shown, sees_values
from tidegate_web.store.queries import runs


def blueprint() -> Blueprint:
    """The routes of this area."""
    area = Blueprint("pages", __name__)
    projects.add_routes(area)
    overview.add_routes(area)
    run_list.add_routes(area)
    bulk.add_routes(area)
    run_export.add_routes(area)
    definitions.add_routes(area)
    logtext.add_routes(area)
    people.add_routes(area)
    webhooks.add_routes(area)
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
            "terminal_phases": TERMINAL_PHASES,
        }

    @area.get("/")
    @requires(Permission.SIGNED_IN)
    def home() -> Response | str:
        mine = list(current_projects(services(), caller()))
        if len(mine) == 1:
            return redirect(url_for("pages.list_runs", project=mine[0]))
        return projects_page({})

    @area.get("/projects/<project>/runs/<run>")
    @requires(Permission.VIEWER)
    def show_run(project: str, run: str) -> str:
        made = services()
        if not runs.is_uid(run):
            require_project(made, project)
        seq = last_event(project)
        row = find(made, project, run)
        details = details_of(made, row)
        role, now = role_here(project), made.clock.now()
        attempts = responses.attempts(row, details.progress)
        return render_template(
            "_run.html" if fragment_wanted() else "run.html",
            project=project,
            run=row,
            attempts=attempts,
            last=attempts[-1] if attempts else {},
            ends={end.attempt: end for end in details.ends},
            metadata=details.metadata,
            away=row.from_cluster,
            requester=responses.requester(row),
            task_spec=spec_shown(made, row, attempts, role=role),
            may_act=role is not None and role >= Role.OPERATOR,
            commands=kubectl_commands(project, row),
            manifest=manifest(row, run_spec_shown(row.spec, whole=sees_values(role))),
            hides_values=not sees_values(role),
            family=listing.tree(made, row, now=now),
            previous=previous_runs(listing.previous(made, row)),
            seq=seq,
            now=now,
        )

    @area.post("/projects/<project>/runs/<run>/cancel")
    @requires(Permission.OPERATOR)
    def cancel_run(project: str, run: str) -> Response:
        row = cancel(services(), actor(), project, run)
        return redirect(url_for("pages.show_run", project=project, run=row.uid), code=303)

    @area.post("/projects/<project>/runs/<run>/<any(suspend, resume):act>")
    @requires(Permission.OPERATOR)
    def suspend_run(project: str, run: str, act: str) -> Response:
        row = suspend(services(), actor(), project, run, hold=act == "suspend")
        return redirect(url_for("pages.show_run", project=project, run=row.uid), code=303)

    @area.post("/projects/<project>/runs/<run>/replay")
    @requires(Permission.OPERATOR)
    def replay_run(project: str, run: str) -> Response:
        made = replay(services(), actor(), project, run)
        return redirect(url_for("pages.show_run", project=project, run=made.row.uid), code=303)

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
