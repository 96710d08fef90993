"""The page of one run: what became of it, what it ran, and what is done to it by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.api import responses
from tidegate_web.api.events import events_json
from tidegate_web.auth.guard import actor, role_here
from tidegate_web.current_app import services
from tidegate_web.pages import timeline
from tidegate_web.pages.attempt_usage import usages
from tidegate_web.pages.folded_json import folded
from tidegate_web.pages.forms import Shown, carry_out, text, utc_time
from tidegate_web.pages.fragments import fragment_wanted, last_event
from tidegate_web.pages.manifest import kubectl_commands, manifest
from tidegate_web.pages.metadata_view import view_of
from tidegate_web.pages.run_history import run_history
from tidegate_web.pages.specs import spec_now, spec_shown
from tidegate_web.pages.text_diff import diff
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import listing
from tidegate_web.runs.actions import cancel, prioritize, reschedule, suspend
from tidegate_web.runs.events import events_of_run
from tidegate_web.runs.lookup import details_of, find
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.task_spec import run_spec_shown, sees_values
from tidegate_web.store.queries import runs

KEPT: Final = ("from", "to", "events", "diff")
"""What the links of the page keep of its address: the window of the timeline, and what is asked of the cluster."""

MOST_EVENTS: Final = 200

T = TypeVar("T")


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/runs/<run>")
    @requires(Permission.VIEWER)
    def show_run(project: str, run: str) -> str:
        return _page(project, run, {})

    @area.post("/projects/<project>/runs/<run>/cancel")
    @requires(Permission.OPERATOR)
    def cancel_run(project: str, run: str) -> Response:
        row = cancel(services(), actor(), project, run)
        return redirect(url_for("pages.show_run", project=project, run=row.uid), code=303)

    @area.post("/projects/<project>/runs/<run>/<any(suspend, resume):act>")
    @requires(Permission.OPERATOR)
    def suspend_run(project: str, run: str, act: str) -> Response:
        row = suspend(services(), actor(), project, run, hold=act == "suspend")
        return redirect(url_for("pages.show_run", project=project, run=row.uid), code=303)

    @area.post("/projects/<project>/runs/<run>/change")
    @requires(Permission.OPERATOR)
    def change_run(project: str, run: str) -> Response | tuple[str, int]:
        acts: dict[str, Callable[[], Shown | None]] = {
            "reschedule": lambda: _reschedule(project, run, utc_time("startAfter")),
            "start-now": lambda: _reschedule(project, run, None),
            "prioritize": lambda: _prioritize(project, run),
        }
        there = url_for("pages.show_run", project=project, run=run)
        return carry_out(acts, partial(_page, project, run), to=there)


def _reschedule(project: str, run: str, start_after: str | None) -> None:
    reschedule(services(), actor(), project, run, start_after=start_after)


def _prioritize(project: str, run: str) -> None:
    try:
        priority = int(text("priority"))
    except ValueError:
        raise invalid("priority", "must be a whole number") from None
    prioritize(services(), actor(), project, run, priority=priority)


@dataclass(frozen=True, kw_only=True)
class Asked(Generic[T]):
    """What the cluster answered, or why it did not."""

    found: T | None = None
    problem: str = ""


def _asked(name: str, ask: Callable[[], T]) -> Asked[T] | None:
    """What the address asks for; None where it does not. What the cluster refuses is shown in its place: the page has the rest."""
    if not request.args.get(name):
        return None
    try:
        return Asked(found=ask())
    except Problem as problem:
        return Asked(problem=problem.detail)


def _page(project: str, run: str, shown: Shown) -> str:
    made = services()
    if not runs.is_uid(run):
        require_project(made, project)
    seq, window = last_event(project), timeline.window_of(request.args)
    row = find(made, project, run)
    details = details_of(made, row)
    role, now = role_here(project), made.clock.now()
    attempts = responses.attempts(row, details.progress)
    family = listing.tree(made, row, now=now)
    task_spec = spec_shown(made, row, attempts, role=role)
    return render_template(
        "_run.html" if fragment_wanted() else "run.html",
        project=project,
        run=row,
        attempts=attempts,
        last=attempts[-1] if attempts else {},
        ends={end.attempt: end for end in details.ends},
        metadata=details.metadata,
        view=view_of(details.metadata),
        usages=usages(attempts, task=task_spec, run=row.spec),
        away=row.from_cluster,
        requester=responses.requester(row),
        task_spec=task_spec,
        diff=_asked("diff", lambda: diff(task_spec, spec_now(made, row, role=role))),
        events=_asked("events", lambda: events_json(events_of_run(made, row))[-MOST_EVENTS:]),
        may_act=role is not None and role >= Role.OPERATOR,
        commands=kubectl_commands(project, row),
        manifest=manifest(row, run_spec_shown(row.spec, whole=sees_values(role))),
        hides_values=not sees_values(role),
        family=family,
        line=timeline.timeline(row, attempts, family, now=now, shown=window),
        timeline=timeline,
        folded=folded,
        kept={name: request.args[name] for name in KEPT if name in request.args},
        previous=run_history(listing.previous(made, row)),
        seq=seq,
        now=now,
        **shown,
    )
