"""The columns of the list of runs: those that its address names, else those that the user has chosen, else the same for all."""

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.accounts import run_columns as choice
from tidegate_web.api.common import parse_filter
from tidegate_web.auth.guard import actor, signed_in
from tidegate_web.current_app import services
from tidegate_web.pages.filters import query_of, with_query
from tidegate_web.pages.forms import text
from tidegate_web.shared import run_columns
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem


def columns_of_address() -> tuple[str, ...] | None:
    """Those that the address names, as that of a saved view may; None without any."""
    sent = request.args.get("columns")
    return run_columns.chosen(sent.split(",")) if sent else None


def columns_shown() -> tuple[str, ...]:
    """Those that the list has for the caller."""
    user = signed_in()
    own = None if user is None else run_columns.stored(user.run_columns)
    return columns_of_address() or own or run_columns.DEFAULT


def add_routes(area: Blueprint) -> None:
    """The route of the form."""

    @area.post("/account/run-columns")
    @requires(Permission.PERSON)
    def choose_run_columns() -> Response:
        act = text("act")
        if act not in ("save", "reset"):
            raise Problem(422, "The form is not one of ours.")
        query = query_of(parse_filter(request.args))
        choice.choose(services(), actor(), request.form.getlist("column") if act == "save" else None)
        project = request.args.get("project")
        if not project:
            return redirect(url_for("pages.list_projects"), code=303)
        return redirect(with_query(url_for("pages.list_runs", project=project), query.values), code=303)
