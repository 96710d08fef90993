"""The page of one WorkerPool: its figures, why no worker comes, and each worker with the runs that it has."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.api import definitions as api
from tidegate_web.api.response_types import Definition
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.definitions.pool_workers import PoolWorkers, workers_of_pool
from tidegate_web.definitions.worker_pods import WorkerState
from tidegate_web.pages.definitions import scale
from tidegate_web.pages.forms import Shown, carry_out
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.manifest import definition_manifest
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, is_dns_label, requires
from tidegate_web.shared.problems import Problem

TONES: Final = {
    WorkerState.NOT_READY: "bad",
    WorkerState.NOT_SCHEDULED: "retrying",
    WorkerState.UNREACHABLE: "bad",
    WorkerState.ENDED: "bad",
    WorkerState.GONE: "retrying",
    WorkerState.STARTING: "starting",
    WorkerState.DRAINING: "waiting",
    WorkerState.TERMINATING: "waiting",
    WorkerState.UNKNOWN: "muted",
    WorkerState.READY: "good",
}


@dataclass(frozen=True, kw_only=True)
class LookedPool:
    """What the page shows of the pool. Without ``item``, ``problem`` says why."""

    item: Definition | None
    problem: str
    workers: PoolWorkers
    away: bool
    """Whether Postgres doesn't answer: the runs are those that the cluster has."""


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/pools/<name>")
    @requires(Permission.VIEWER)
    def show_pool(project: str, name: str) -> str:
        return _page(project, name, {})

    @area.post("/projects/<project>/pools/<name>")
    @requires(Permission.DEVELOPER)
    def scale_one_pool(project: str, name: str) -> Response | tuple[str, int]:
        return carry_out({"scale": lambda: scale(project, name)}, partial(_page, project, name))


def _look_up(made: Services, project: str, name: str) -> LookedPool:
    """The pool and its workers, which may be there a while longer. 404 where there is neither."""
    # Of a former project the cluster's objects aren't ours to show.
    require_project(made, project, to_write=True)
    if not is_dns_label(name):
        raise Problem(404, "Not found.")
    item, problem = None, None
    try:
        item = api.definition_shown(actions.get(made, KINDS["pools"], project, name))
    except Problem as refused:
        problem = refused
    gone = problem is not None and problem.status == 404
    detail = "" if problem is None else problem.detail
    workers = workers_of_pool(made, project, name, problem="" if gone else detail)
    if problem is not None and gone and not workers.rows:
        raise problem
    away = workers.runs is not None and workers.runs.from_cluster
    return LookedPool(item=item, problem=detail, workers=workers, away=away)


def _page(project: str, name: str, shown: Shown) -> str:
    made = services()
    looked = _look_up(made, project, name)
    return render_template(
        "_pool.html" if fragment_wanted() else "pool.html",
        project=project,
        name=name,
        address=url_for("pages.show_pool", project=project, name=name),
        looked=looked,
        manifest="" if looked.item is None else definition_manifest("WorkerPool", looked.item),
        tones=TONES,
        sent=request.form,
        now=made.clock.now(),
        **shown,
    )
