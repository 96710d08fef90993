"""The page of one Task: how its runs end and how long they take, what it is, and a form to run it."""

from functools import partial

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from tidegate_web.auth.guard import actor, role_here
from tidegate_web.current_app import services
from tidegate_web.pages.definition_lookup import look_up
from tidegate_web.pages.folded_json import folded
from tidegate_web.pages.forms import Shown, start_run, text, utc_time
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.manifest import definition_manifest
from tidegate_web.pages.payload_form import check_fragment, sent_payload, shown_form, task_of
from tidegate_web.runs.actions import create_asked
from tidegate_web.runs.recent_payloads import recent_payloads
from tidegate_web.shared.json_types import JsonObject, as_object
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.store.queries.run_list import RunFilter


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/tasks/<name>")
    @requires(Permission.VIEWER)
    def show_task(project: str, name: str) -> str:
        return _page(project, name, {})

    @area.post("/projects/<project>/tasks/<name>/check")
    @requires(Permission.OPERATOR)
    def check_payload_of_task(project: str, name: str) -> str:
        """The payload of a form checked as one types; without a script, the page with what was found."""
        return check_fragment(services(), _task(project, name)) if fragment_wanted() else _page(project, name, {})

    @area.post("/projects/<project>/tasks/<name>")
    @requires(Permission.OPERATOR)
    def run_from_task(project: str, name: str) -> Response | tuple[str, int]:
        return start_run(
            project,
            lambda: create_asked(services(), actor(), project, _wanted(project, name)),
            partial(_page, project, name),
        )


def _task(project: str, name: str) -> JsonObject:
    return task_of(services(), project, {"taskRef": {"name": name}})


def _wanted(project: str, task: str) -> dict[str, object]:
    """The run that the form asks for. What was left empty is left to the Task."""
    payload = sent_payload(_task(project, task))
    body: dict[str, object] = {"taskRef": {"name": task}, "payload": payload}
    if name := text("name").strip():
        body["name"] = name
    if text("startAfter").strip():
        body["startAfter"] = utc_time("startAfter")
    return body


def _page(project: str, name: str, shown: Shown) -> str:
    made = services()
    looked = look_up(made, "tasks", project, name, RunFilter(task=name))
    role = role_here(project)
    may_run = role is not None and role >= Role.OPERATOR and looked.item is not None
    recent = recent_payloads(made, project, name) if may_run and not fragment_wanted() else []
    chosen = next((each for each in recent if each.run_uid == request.args.get("payload")), None)
    return render_template(
        "_task.html" if fragment_wanted() else "task.html",
        project=project,
        name=name,
        looked=looked,
        manifest="" if looked.item is None else definition_manifest("Task", looked.item),
        folded=folded,
        may_run=may_run,
        recent=recent,
        chosen=chosen,
        form=shown_form(made, looked.item["spec"], as_object(chosen.payload) if chosen else {})
        if may_run and looked.item
        else None,
        sent=request.form,
        now=made.clock.now(),
        **shown,
    )
