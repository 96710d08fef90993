"""The Task, Queue or Schedule that a page is about. Its runs are shown also when it is gone, or the cluster doesn't answer."""

from dataclasses import dataclass

from tidegate_web.api import definitions as api
from tidegate_web.api.response_types import Definition
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.definitions import actions
from tidegate_web.pages.run_history import RunHistory, run_history
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import listing
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries.run_list import RunFilter

RUNS_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a page shows of it. Without ``item``, ``problem`` says why."""

    item: Definition | None
    problem: str
    history: RunHistory
    away: bool
    """Whether Postgres doesn't answer: the runs are those that the cluster has."""


def look_up(made: Services, plural: str, project: str, name: str, runs: RunFilter) -> Looked:
    """The object, and its last runs. 404 where there is neither."""
    require_project(made, project)
    item, problem = None, None
    try:
        item = api.definition_shown(actions.get(made, KINDS[plural], project, name))
    except Problem as refused:
        problem = refused
    found = listing.listed(made, project, runs, limit=RUNS_SHOWN, after=None)
    if problem is not None and problem.status == 404 and not found.page.rows:
        raise problem
    return Looked(
        item=item,
        problem="" if problem is None else problem.detail,
        history=run_history(found.page.rows),
        away=found.from_cluster,
    )
