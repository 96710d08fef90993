"""The page of saved views of the list of runs: what the list shows at the moment is saved there under a name, and views are
renamed, replaced and deleted. It takes no script.
"""

from collections.abc import Callable

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.api.common import parse_filter
from tidegate_web.auth.guard import actor, role_here, signed_in
from tidegate_web.current_app import services
from tidegate_web.pages.filters import RunQuery, query_of, query_of_view, with_query
from tidegate_web.pages.forms import Shown, carry_out, number, text
from tidegate_web.pages.run_columns import columns_of_address, columns_shown
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import saved_views
from tidegate_web.runs.saved_views import SavedViews, ViewContent
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.run_columns import LABELS


def views_here(project: str) -> SavedViews | None:
    """The views that the caller sees in a project; None while Postgres is away."""
    user = signed_in()
    return saved_views.listed_or_none(services(), project, user_id=user.id if user else None)


def query_here() -> RunQuery:
    """What the address says of the list: its filters, and columns if it names some."""
    return query_of(parse_filter(request.args), columns=columns_of_address())


def _page(project: str, shown: Shown) -> str:
    user, role = signed_in(), role_here(project)
    return render_template(
        "run_views.html",
        project=project,
        views=saved_views.listed(services(), project, user_id=user.id if user else None),
        query=query_here(),
        query_of_view=query_of_view,
        column_labels=LABELS,
        columns=columns_shown(),
        writes_the_projects=role is not None and role >= saved_views.WRITES_THE_PROJECTS,
        name_max=saved_views.NAME_MAX,
        typed=request.form,
        **shown,
    )


def _acts(project: str) -> dict[str, Callable[[], Shown | None]]:
    made = services()

    def save() -> None:
        content = ViewContent(filters=query_here().values, columns=columns_shown() if text("columns") else None)
        saved_views.save(made, actor(), project, name=text("name"), content=content, of_project=text("of") == "project")

    def replace() -> None:
        content = ViewContent(filters=query_here().values, columns=columns_of_address())
        saved_views.replace(made, actor(), project, number("id"), content=content)

    def delete() -> Shown | None:
        if not text("confirmed"):
            return {"to_delete": saved_views.find(made, actor(), project, number("id"))}
        saved_views.remove(made, actor(), project, number("id"))
        return None

    return {
        "save": save,
        "rename": lambda: saved_views.rename(made, actor(), project, number("id"), name=text("name")),
        "replace": replace,
        "delete": delete,
    }


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/views")
    @requires(Permission.VIEWER)
    def views_page(project: str) -> str:
        require_project(services(), project)
        return _page(project, {})

    @area.post("/projects/<project>/views")
    @requires(Permission.VIEWER)
    def change_views(project: str) -> Response | tuple[str, int]:
        back = with_query(url_for("pages.views_page", project=project), query_here().address)
        return carry_out(_acts(project), lambda shown: _page(project, shown), to=back)
