"""The list of a project's runs. A page goes on from the run that it began with, and says how many have come since."""

from typing import Final

from flask import Blueprint, render_template, request

from tidegate_web.api.common import parse_filter
from tidegate_web.api.parameters import PHASES
from tidegate_web.auth.guard import role_here
from tidegate_web.bulk.authors import ACTIONS
from tidegate_web.current_app import services
from tidegate_web.pages.bulk import WORDS
from tidegate_web.pages.filters import query_of_view
from tidegate_web.pages.fragments import fragment_wanted, last_event
from tidegate_web.pages.run_columns import columns_shown
from tidegate_web.pages.run_views import query_here, views_here
from tidegate_web.pages.shared_fragments import SharedFragments
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import listing
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.phases import ACTIVE_PHASES
from tidegate_web.shared.run_columns import LABELS, OF_THE_SPEC, REQUIRED
from tidegate_web.store.queries.run_list import encode_cursor

PAGE = 50
ATTENTION_PHASES: Final = ("Failed", "Expired", "Skipped")


def add_routes(area: Blueprint) -> None:
    """The route of this page."""
    shared = SharedFragments()

    @area.get("/projects/<project>/runs")
    @requires(Permission.VIEWER)
    def list_runs(project: str) -> str:
        require_project(services(), project)
        seq, columns, role = last_event(project), columns_shown(), role_here(project)

        def context() -> dict[str, object]:
            return _list(project, columns=columns, role=role)

        if not fragment_wanted():
            return render_template("runs.html", **context(), **_head(project), seq=seq)
        if seq is None:  # nothing tells whether two fragments show the same
            return render_template("_runs.html", **context())
        same = (project, request.script_root, request.query_string, columns, role, seq)
        return shared.template(same, "_runs.html", context)


def _list(project: str, *, columns: tuple[str, ...], role: Role | None) -> dict[str, object]:
    """What changes: it depends on the address, the columns, and what the caller may do here, and on nothing else of them."""
    made, now = services(), services().clock.now()
    wanted = parse_filter(request.args)
    after, before, top = (request.args.get(name) or None for name in ("after", "before", "top"))
    place = listing.Place(after=after, before=before, top=top)
    of_spec = not OF_THE_SPEC.isdisjoint(columns)
    shown = listing.overview(made, project, wanted, place, limit=PAGE, now=now, of_spec=of_spec)
    first = shown.page.rows[0] if shown.page.rows else None
    return {
        "project": project,
        "page": shown.page,
        "counts": shown.counts,
        "tasks": shown.tasks,
        "queues": shown.queues,
        "away": shown.from_cluster,
        "truncated": shown.truncated,
        "wanted": wanted,
        "query": query_here(),
        "columns": columns,
        "column_labels": LABELS,
        "first_page": not after and shown.page.before is None,
        "newer": shown.newer,
        "most_counted": listing.MOST_COUNTED,
        "top": top or (encode_cursor(first.created, first.uid) if first is not None else ""),
        "phases": PHASES,
        "active_phases": ACTIVE_PHASES,
        "attention_phases": ATTENTION_PHASES,
        "acts": [(act, WORDS[act].verb) for act in WORDS if role is not None and role >= ACTIONS[act]],
        "now": now,
    }


def _head(project: str) -> dict[str, object]:
    """What stays as long as the page is open."""
    return {"required_columns": REQUIRED, "views": views_here(project), "query_of_view": query_of_view}
