"""Runs for past ticks of a Schedule, from its page: which they would be, and then, once their number is confirmed, started."""

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.definitions import backfilling
from tidegate_web.definitions.backfilling import Plan
from tidegate_web.pages.forms import number, read_utc
from tidegate_web.projects.existing import require_project
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem

SHOWN = 20
"""Ticks of a plan."""


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/schedules/<name>/backfill")
    @requires(Permission.OPERATOR)
    def plan_backfill(project: str, name: str) -> Response | str | tuple[str, int]:
        require_project(services(), project, to_write=True)
        if "from" not in request.args:
            return _page(project, name)
        try:
            return _page(project, name, plan=_plan(project, name))
        except Problem as problem:
            return _refused(project, name, problem)

    @area.post("/projects/<project>/schedules/<name>/backfill")
    @requires(Permission.OPERATOR)
    def start_backfill(project: str, name: str) -> Response | str | tuple[str, int]:
        since, until = read_utc("from", _asked("from")), read_utc("until", _asked("until"))
        try:
            _, done = backfilling.backfill(
                services(), actor(), project, name, since=since, until=until, confirmed=number("confirmed")
            )
        except Problem as problem:
            return _refused(project, name, problem)
        return _page(project, name, done=done)


def _asked(name: str) -> str:
    return request.values.get(name, "")


def _plan(project: str, name: str) -> Plan:
    since, until = read_utc("from", _asked("from")), read_utc("until", _asked("until"))
    return backfilling.plan(services(), actor(), project, name, since=since, until=until)


def _refused(project: str, name: str, problem: Problem) -> tuple[str, int]:
    """The page again, with a plan as of now where there is one."""
    if problem.status >= 500 or problem.status in (403, 404):
        raise problem
    try:
        plan = _plan(project, name)
    except Problem:
        plan = None
    return _page(project, name, plan=plan, refused=problem.detail), problem.status


def _page(project: str, name: str, *, refused: str = "", **shown: object) -> str:
    return render_template(
        "backfill.html",
        project=project,
        name=name,
        sent={"from": _asked("from"), "until": _asked("until")},
        error=refused,
        most=backfilling.MOST_TICKS,
        shown_ticks=SHOWN,
        **shown,
    )
