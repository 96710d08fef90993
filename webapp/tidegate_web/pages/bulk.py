"""Acts on many runs: chosen in the list, confirmed with their number, followed while they are carried out.

It takes no script: the list's form sends what is chosen, or that all is meant which its filters find.
"""

from dataclasses import dataclass, replace
from typing import Final

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.api.bulk import WORKER
from tidegate_web.api.common import parse_filter
from tidegate_web.auth.guard import actor, role_here
from tidegate_web.bulk import operations
from tidegate_web.bulk.authors import ACTIONS
from tidegate_web.current_app import services
from tidegate_web.pages.filters import query_of
from tidegate_web.pages.forms import number, text
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.run_columns import columns_of_address
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.models.work import BulkAction
from tidegate_web.store.queries.run_list import RunFilter
from tidegate_web.store.queries.runs import is_uid

MOST_CHOSEN: Final = 500


@dataclass(frozen=True, kw_only=True)
class Words:
    """How an act is called on its buttons and pages."""

    verb: str
    going_on: str
    done: str
    warning: str


WORDS: Final[dict[BulkAction, Words]] = {
    "cancel": Words(
        verb="Cancel",
        going_on="Cancelling",
        done="Cancelled",
        warning="What runs is stopped, after its grace period. Runs that have ended stay as they are.",
    ),
    "replay": Words(
        verb="Replay",
        going_on="Replaying",
        done="Replayed",
        warning="Each is made again as a new run with the same task and payload. The runs themselves stay as they are.",
    ),
    "delete": Words(
        verb="Delete",
        going_on="Deleting",
        done="Deleted",
        warning="Removed from the cluster and from the archive, with logs and results. This can't be undone.",
    ),
}


def _chosen() -> list[str]:
    uids = list(dict.fromkeys(request.form.getlist("uid")))
    if len(uids) > MOST_CHOSEN or not all(is_uid(uid) for uid in uids):
        raise Problem(422, "The form is not one of ours.")
    return uids


def _number(project: str, action: BulkAction, wanted: RunFilter, uids: list[str] | None) -> int:
    if uids is not None:
        return len(uids)
    found = operations.count(services(), actor(), project, action, matching=wanted)
    if found > operations.MOST_MATCHING:
        raise Problem(422, f"More than {operations.MOST_MATCHING} runs match. Narrow the filter.")
    return found


def _confirm(project: str, action: BulkAction, wanted: RunFilter, uids: list[str] | None) -> str:
    if uids is None:
        # What comes while one thinks about it is not meant.
        now = services().clock.now()
        wanted = replace(wanted, until=now if wanted.until is None else min(now, wanted.until))
    meant = _number(project, action, wanted, uids)
    if not meant:
        raise Problem(422, "No run is chosen. Choose some in the list, or all that match.")
    return render_template(
        "bulk_confirm.html",
        project=project,
        action=action,
        words=WORDS[action],
        number=meant,
        uids=uids,
        query=query_of(wanted),
        back=query_of(parse_filter(request.args), columns=columns_of_address()),
    )


def add_routes(area: Blueprint) -> None:
    """The routes of these pages."""

    @area.post("/projects/<project>/runs")
    @requires(Permission.OPERATOR)
    def act_on_runs(project: str) -> Response | str:
        action = next((known for known in WORDS if known == text("act")), None)
        if action is None:
            raise Problem(422, "The form is not one of ours.")
        role = role_here(project)
        if role is None or role < ACTIONS[action]:
            raise Problem(403, f"This needs the role {ACTIONS[action].label}.")
        wanted, uids = parse_filter(request.args), None if text("all") else _chosen()
        # Kubernetes gives the time of creation in whole seconds, so a run may still have come after the question.
        if not text("confirmed") or _number(project, action, wanted, uids) > number("confirmed"):
            return _confirm(project, action, wanted, uids)
        detail = {"uids": uids} if uids is not None else {"filter": dict(query_of(wanted).values)}
        found = operations.accept(services(), actor(), project, action, uids=uids, matching=wanted, detail=detail)
        current_app.extensions[WORKER].wake()
        return redirect(url_for("pages.bulk_page", project=project, bulk=found.row.id), code=303)

    @area.get("/projects/<project>/bulk/<id:bulk>")
    @requires(Permission.VIEWER)
    def bulk_page(project: str, bulk: int) -> str:
        made = services()
        found = operations.find(made, project, bulk)
        role = role_here(project)
        return render_template(
            "_bulk.html" if fragment_wanted() else "bulk.html",
            project=project,
            operation=found.row,
            problems=found.problems,
            words=WORDS[found.row.action],
            may_end=role is not None and role >= ACTIONS[found.row.action],
            now=made.clock.now(),
        )

    @area.post("/projects/<project>/bulk/<id:bulk>")
    @requires(Permission.OPERATOR)
    def end_bulk(project: str, bulk: int) -> Response:
        operations.abort(services(), actor(), project, bulk)
        return redirect(url_for("pages.bulk_page", project=project, bulk=bulk), code=303)
