"""The page of one Schedule: when it comes, what became of the runs it started, and a form to start one now."""

from functools import partial

from flask import Blueprint, render_template, url_for
from werkzeug.wrappers import Response

from tidegate_web.auth.guard import actor, role_here
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.definitions.triggering import trigger
from tidegate_web.pages import cron_words
from tidegate_web.pages.definition_lookup import look_up
from tidegate_web.pages.definitions import switches
from tidegate_web.pages.folded_json import folded
from tidegate_web.pages.forms import Shown, carry_out, start_run
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.manifest import definition_manifest
from tidegate_web.pages.payload_form import check_fragment, sent_payload, shown_form, task_of
from tidegate_web.shared.json_types import JsonObject, as_object, as_text
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.store.queries.run_list import RunFilter


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/schedules/<name>")
    @requires(Permission.VIEWER)
    def show_schedule(project: str, name: str) -> str:
        return _page(project, name, {})

    @area.post("/projects/<project>/schedules/<name>")
    @requires(Permission.OPERATOR)
    def trigger_with_payload(project: str, name: str) -> Response | tuple[str, int]:
        return start_run(
            project,
            lambda: trigger(services(), actor(), project, name, payload=sent_payload(_task(project, name))),
            partial(_page, project, name),
        )

    @area.post("/projects/<project>/schedules/<name>/check")
    @requires(Permission.OPERATOR)
    def check_payload_of_schedule(project: str, name: str) -> str:
        """The payload of a form checked as one types; without a script, the page with what was found."""
        return check_fragment(services(), _task(project, name)) if fragment_wanted() else _page(project, name, {})

    @area.post("/projects/<project>/schedules/<name>/state")
    @requires(Permission.DEVELOPER)
    def switch_one_schedule(project: str, name: str) -> Response | tuple[str, int]:
        acts = switches("schedules", project, "suspend", on="suspend", off="resume", name=name)
        there = url_for("pages.show_schedule", project=project, name=name)
        return carry_out(acts, partial(_page, project, name), to=there)


def _task(project: str, name: str) -> JsonObject:
    """What its runs run."""
    found = actions.get(services(), KINDS["schedules"], project, name)
    return task_of(services(), project, _run_spec(found.get("spec") or {}))


def _run_spec(spec: JsonObject) -> JsonObject:
    return as_object(as_object(spec.get("template")).get("spec"))


def _page(project: str, name: str, shown: Shown) -> str:
    made = services()
    looked = look_up(made, "schedules", project, name, RunFilter(schedule=name))
    role, now = role_here(project), made.clock.now()
    spec = {} if looked.item is None else looked.item["spec"]
    cron, zone = as_text(spec.get("cron")) or "", as_text(spec.get("timeZone")) or "UTC"
    run_spec = _run_spec(spec)
    may_run = role is not None and role >= Role.OPERATOR and looked.item is not None
    return render_template(
        "_schedule.html" if fragment_wanted() else "schedule.html",
        project=project,
        name=name,
        looked=looked,
        manifest="" if looked.item is None else definition_manifest("Schedule", looked.item),
        folded=folded,
        words=cron_words.in_words(cron),
        ticks=cron_words.next_ticks(cron, zone, now=now) if looked.item is not None else None,
        zone=zone,
        run_spec=run_spec,
        may_run=may_run,
        form=shown_form(made, task_of(made, project, run_spec), as_object(run_spec.get("payload")))
        if may_run and not fragment_wanted()
        else None,
        now=now,
        **shown,
    )
