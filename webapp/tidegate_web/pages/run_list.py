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
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import listing
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.phases import ACTIVE_PHASES
from tidegate_web.shared.run_columns import LABELS, OF_THE_SPEC, REQUIRED
from tidegate_web.store.queries.run_list import encode_cursor

PAGE = 50
ATTENTION_PHASES: Final = ("Failed", "Expired", "Skipped")


def add_routes(area: Blueprint) -> None:
    """The route of this page."""

    @area.get("/projects/<project>/runs")
    @requires(Permission.VIEWER)
    def list_runs(project: str) -> str:
        made = services()
        require_project(made, project)
        seq = last_event(project)
        wanted, columns, query = parse_filter(request.args), columns_shown(), query_here()
        of_spec = not OF_THE_SPEC.isdisjoint(columns)
        now = made.clock.now()
        role = role_here(project)
        after, before, top = (request.args.get(name) or None for name in ("after", "before", "top"))
        place = listing.Place(after=after, before=before, top=top)
        shown = listing.overview(made, project, wanted, place, limit=PAGE, now=now, of_spec=of_spec)
        first = shown.page.rows[0] if shown.page.rows else None
        return render_template(
            "_runs.html" if fragment_wanted() else "runs.html",
            project=project,
            page=shown.page,
            counts=shown.counts,
            tasks=shown.tasks,
            queues=shown.queues,
            away=shown.from_cluster,
            truncated=shown.truncated,
            wanted=wanted,
            query=query,
            columns=columns,
            column_labels=LABELS,
            required_columns=REQUIRED,
            views=views_here(project),
            query_of_view=query_of_view,
            first_page=not after and shown.page.before is None,
            newer=shown.newer,
            most_counted=listing.MOST_COUNTED,
            top=top or (encode_cursor(first.created, first.uid) if first is not None else ""),
            phases=PHASES,
            active_phases=ACTIVE_PHASES,
            attention_phases=ATTENTION_PHASES,
            acts=[(act, WORDS[act].verb) for act in WORDS if role is not None and role >= ACTIONS[act]],
            seq=seq,
            now=now,
        )
