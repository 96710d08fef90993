"""A run replayed from its page: as it was, or with another payload or name."""

from functools import partial

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.pages.forms import Shown, start_run, text
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.payload_form import check_fragment, sent_payload, shown_form, task_of
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.actions import replay
from tidegate_web.runs.create import CreatedRun
from tidegate_web.runs.lookup import find
from tidegate_web.shared.json_types import JsonObject, as_object
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.store.records import is_stored_whole


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/runs/<run>/replay")
    @requires(Permission.OPERATOR)
    def edit_replay(project: str, run: str) -> str:
        require_project(services(), project, to_write=True)
        return _page(project, run, {})

    @area.post("/projects/<project>/runs/<run>/replay")
    @requires(Permission.OPERATOR)
    def replay_run(project: str, run: str) -> Response | tuple[str, int]:
        if request.form.keys().isdisjoint(("by", "payload")):
            made = replay(services(), actor(), project, run)
            return redirect(url_for("pages.show_run", project=project, run=made.row.uid), code=303)
        return start_run(project, lambda: _replay(project, run), partial(_page, project, run))

    @area.post("/projects/<project>/runs/<run>/replay/check")
    @requires(Permission.OPERATOR)
    def check_payload_of_replay(project: str, run: str) -> str:
        """The payload of a form checked as one types; without a script, the page with what was found."""
        return check_fragment(services(), _task(project, run)) if fragment_wanted() else _page(project, run, {})


def _task(project: str, run: str) -> JsonObject:
    """What the new run will run: its Task as it is today."""
    return task_of(services(), project, find(services(), project, run).spec)


def _replay(project: str, run: str) -> CreatedRun:
    payload, name = sent_payload(_task(project, run)), text("name").strip() or None
    return replay(services(), actor(), project, run, name=name, payload=payload)


def _page(project: str, run: str, shown: Shown) -> str:
    made = services()
    row = find(made, project, run)
    stored = row.spec.get("payload") or {}
    whole = is_stored_whole(stored)
    return render_template(
        "replay.html",
        project=project,
        run=row,
        form=shown_form(made, task_of(made, project, row.spec), as_object(stored) if whole else {}),
        name=request.form.get("name", ""),
        stored_whole=whole,
        **shown,
    )
