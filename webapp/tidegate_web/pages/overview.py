"""The overview of a project: how it fares, what fails, what waits, and what comes next."""

from dataclasses import dataclass, field

from flask import Blueprint, render_template, request

from tidegate_web.cluster.definitions import KINDS
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.health.dependencies import dependencies
from tidegate_web.pages import charts
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.project_overview import DEFAULT_RANGE, RANGES, project_overview
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem, invalid

MOST_DEFINITIONS = 200
"""Of each kind: what has most waiting, or comes first, is chosen among these."""
SHOWN = 6


@dataclass(kw_only=True)
class Definitions:
    """What the cluster has of a project beside runs; ``problem`` where it doesn't answer."""

    queues: list[JsonObject] = field(default_factory=list)
    schedules: list[JsonObject] = field(default_factory=list)
    pools: list[JsonObject] = field(default_factory=list)
    problem: str = ""


def definitions_of(made: Services, project: str) -> Definitions:
    """The queues with most waiting, the schedules that are due next, the pools."""
    found = Definitions()

    def read(kind: str) -> list[JsonObject]:
        listed = actions.listed(made, KINDS[kind], project, limit=MOST_DEFINITIONS, after=None)["items"]
        return [
            {"name": item["metadata"]["name"], "spec": item.get("spec") or {}, "status": item.get("status") or {}}
            for item in listed
        ]

    try:
        found.queues = sorted(read("queues"), key=_waiting)[:SHOWN]
        found.schedules = sorted(filter(_next_run, read("schedules")), key=_next_run)[:SHOWN]
        found.pools = sorted(read("pools"), key=_waiting)[:SHOWN]
    except Problem as problem:
        found.problem = problem.detail
    return found


def _waiting(item: JsonObject) -> tuple[int, str]:
    status = item["status"]
    # A queue's runs are pending, a pool's wait.
    waiting = status.get("pending", status.get("waiting")) if isinstance(status, dict) else None
    return -(waiting if isinstance(waiting, int) else 0), str(item["name"])


def _next_run(item: JsonObject) -> str:
    status, spec = item["status"], item["spec"]
    if isinstance(spec, dict) and spec.get("suspend"):
        return ""
    return str(status.get("nextScheduleTime") or "") if isinstance(status, dict) else ""


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
            definitions=definitions_of(made, project),
            dependencies=dependencies(made),
            charts=charts,
            now=made.clock.now(),
        )
