"""The pages of a project's Tasks, Queues, Schedules and WorkerPools: what there is, and the acts that people do to them by hand."""

from collections.abc import Callable
from functools import partial

from flask import Blueprint, render_template, request, url_for
from tidegate_api.pool import REPLICAS_MAX
from werkzeug.wrappers import Response

from tidegate_web.api import definitions as api
from tidegate_web.auth.guard import actor
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.definitions.triggering import trigger
from tidegate_web.pages.cron_words import in_words
from tidegate_web.pages.forms import Shown, carry_out, json_object, text
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.runs.actions import create_asked
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import invalid

Acts = dict[str, Callable[[], Shown | None]]


def _page(kind: str, project: str, shown: Shown) -> str:
    made = services()
    found = api.listed(made, KINDS[kind], project)
    now = made.clock.now()
    return render_template(
        f"{kind}.html",
        project=project,
        kind=KINDS[kind].name,
        plural=kind,
        endpoint=f"pages.{kind}_page",
        items=found["items"],
        after=found["after"],
        # Also of a page that answers a form: a reload of that would send it again.
        address=url_for(f"pages.{kind}_page", project=project, after=request.args.get("after")),
        fragment=fragment_wanted(),
        in_words=in_words,
        now=now,
        **shown,
    )


def _change(kind: str, project: str, name: str, act: str, **spec: object) -> None:
    actions.change(services(), actor(), KINDS[kind], project, name, act, **spec)


def _run(project: str) -> Shown:
    body = {"taskRef": {"name": text("name")}, "payload": json_object("payload")}
    made = create_asked(services(), actor(), project, body)
    return {"started_run": made.row}


def _trigger(project: str) -> Shown:
    return {"started_run": trigger(services(), actor(), project, text("name")).row}


def scale(project: str, name: str) -> None:
    """Set how many worker pods a pool is to have, as the form says."""
    given = text("replicas")
    if not (given.isascii() and given.isdecimal() and int(given) <= REPLICAS_MAX):
        raise invalid("replicas", f"must be a whole number from 0 to {REPLICAS_MAX}")
    _change("pools", project, name, "scale", replicas=int(given))


def switches(kind: str, project: str, field: str, *, on: str, off: str, name: str) -> Acts:
    """Two acts that set a field of an object and take it back."""
    return {
        act: partial(_change, kind, project, name, act, **{field: value}) for act, value in ((on, True), (off, False))
    }


def add_routes(area: Blueprint) -> None:
    """The routes of these pages."""

    @area.get("/projects/<project>/tasks")
    @requires(Permission.VIEWER)
    def tasks_page(project: str) -> str:
        return _page("tasks", project, {})

    @area.post("/projects/<project>/tasks")
    @requires(Permission.OPERATOR)
    def run_task(project: str) -> Response | tuple[str, int]:
        return carry_out({"run": lambda: _run(project)}, partial(_page, "tasks", project))

    @area.get("/projects/<project>/queues")
    @requires(Permission.VIEWER)
    def queues_page(project: str) -> str:
        return _page("queues", project, {})

    @area.post("/projects/<project>/queues")
    @requires(Permission.OPERATOR)
    def change_queue(project: str) -> Response | tuple[str, int]:
        acts = switches("queues", project, "paused", on="pause", off="resume", name=text("name"))
        return carry_out(acts, partial(_page, "queues", project))

    @area.get("/projects/<project>/schedules")
    @requires(Permission.VIEWER)
    def schedules_page(project: str) -> str:
        return _page("schedules", project, {})

    @area.post("/projects/<project>/schedules")
    @requires(Permission.OPERATOR)
    def trigger_from_page(project: str) -> Response | tuple[str, int]:
        return carry_out({"trigger": lambda: _trigger(project)}, partial(_page, "schedules", project))

    @area.get("/projects/<project>/pools")
    @requires(Permission.VIEWER)
    def pools_page(project: str) -> str:
        return _page("pools", project, {})

    @area.post("/projects/<project>/pools")
    @requires(Permission.DEVELOPER)
    def scale_pool(project: str) -> Response | tuple[str, int]:
        return carry_out({"scale": lambda: scale(project, text("name"))}, partial(_page, "pools", project))

    @area.post("/projects/<project>/schedules/state")
    @requires(Permission.DEVELOPER)
    def switch_schedule(project: str) -> Response | tuple[str, int]:
        acts = switches("schedules", project, "suspend", on="suspend", off="resume", name=text("name"))
        there = url_for("pages.schedules_page", project=project)
        return carry_out(acts, partial(_page, "schedules", project), to=there)
