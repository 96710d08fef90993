"""The batches of a project: how far each is, and what of it failed."""

from datetime import timedelta
from typing import Final

from flask import Blueprint, render_template, request, url_for

from tidegate_web.api.stats import batches_answer, wanted_after
from tidegate_web.current_app import services
from tidegate_web.pages.charts import shares
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.stats import batches_or_none
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.queries.stats import Window

PAGE: Final = 50
RANGES: Final = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
DEFAULT_RANGE: Final = "7d"
AWAY: Final = "The database doesn't answer: batches can't be counted now."


def add_routes(area: Blueprint) -> None:
    """The route of this page."""

    @area.get("/projects/<project>/batches")
    @requires(Permission.VIEWER)
    def batches_page(project: str) -> str:
        made = services()
        require_project(made, project)
        name = request.args.get("range") or DEFAULT_RANGE
        if name not in RANGES:
            raise invalid("range", f"must be one of {', '.join(RANGES)}")
        now = made.clock.now()
        window = Window(project=project, since=now - RANGES[name], until=now, task=None, queue=None)
        try:
            rows = batches_or_none(made, window, limit=PAGE + 1, after=wanted_after())
            found, problem = (None, AWAY) if rows is None else (batches_answer(rows, limit=PAGE), "")
        except Problem as refused:
            if refused.status != 422:
                raise
            found, problem = None, refused.detail
        return render_template(
            "batches.html",
            project=project,
            found=found,
            problem=problem,
            range=name,
            ranges=RANGES,
            shares=shares,
            address=url_for("pages.batches_page", project=project, range=name, after=request.args.get("after")),
            fragment=fragment_wanted(),
            now=now,
        )
