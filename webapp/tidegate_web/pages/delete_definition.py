"""A Task, Queue, Schedule or WorkerPool deleted from its page, once it is said what becomes of the runs that go on."""

from dataclasses import replace
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.auth.guard import actor
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.pages.edit_definition import ANY_KIND, place_of
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import listing
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.phases import ACTIVE_PHASES
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries.run_list import RunFilter

MOST_COUNTED: Final = 10_000
CONSEQUENCE: Final = {
    "tasks": "Runs that have begun go on. Those that wait fail within a minute, unless a Task of this name is there again.",
    "queues": "Runs that have begun go on. Those that wait do so until there is a Queue of this name again.",
    "schedules": "It starts no more runs. Those that it has started go on.",
    "pools": "Its workers end, and with them the attempts that run in them. Those that wait do so until there is a pool of this name again.",
}


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get(f"/projects/<project>/{ANY_KIND}/<name>/delete")
    @requires(Permission.DEVELOPER)
    def confirm_deletion(project: str, plural: str, name: str) -> str:
        require_project(services(), project, to_write=True)
        return _page(project, plural, name)

    @area.post(f"/projects/<project>/{ANY_KIND}/<name>/delete")
    @requires(Permission.DEVELOPER)
    def delete_definition(project: str, plural: str, name: str) -> Response | tuple[str, int]:
        try:
            actions.delete(services(), actor(), KINDS[plural], project, name, seen=request.form.get("seen", "")[:20])
        except Problem as problem:
            if problem.status != 412:
                raise
            return _page(project, plural, name, error=problem.detail), problem.status
        return redirect(url_for(f"pages.{plural}_page", project=project), code=303)


def _page(project: str, plural: str, name: str, *, error: str = "") -> str:
    made = services()
    found = actions.get(made, KINDS[plural], project, name)
    wanted = _runs_of(plural, name)
    return render_template(
        "delete_definition.html",
        project=project,
        kind=KINDS[plural].name,
        plural=plural,
        name=name,
        place=place_of(project, plural, name),
        consequence=CONSEQUENCE[plural],
        active=None if wanted is None else listing.count_or_none(made, project, wanted, most=MOST_COUNTED),
        most=MOST_COUNTED,
        seen=found["metadata"]["resourceVersion"],
        error=error,
    )


def _runs_of(plural: str, name: str) -> RunFilter | None:
    """Those that have not ended. None for a pool, whose name runs do not carry."""
    of = {"tasks": RunFilter(task=name), "queues": RunFilter(queue=name), "schedules": RunFilter(schedule=name)}.get(
        plural
    )
    return None if of is None else replace(of, phases=tuple(ACTIVE_PHASES))
