"""The page of one Queue: who runs and who waits, by key, what became of its runs, and its limits."""

from collections.abc import Callable
from functools import partial

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.auth.guard import actor
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.pages.definition_lookup import look_up
from tidegate_web.pages.definitions import switches
from tidegate_web.pages.forms import Shown, carry_out, text
from tidegate_web.pages.fragments import fragment_wanted
from tidegate_web.pages.manifest import definition_manifest
from tidegate_web.runs.queue_keys import keys_of_queue
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import invalid
from tidegate_web.store.queries.run_list import RunFilter


def add_routes(area: Blueprint) -> None:
    """The routes of this page."""

    @area.get("/projects/<project>/queues/<name>")
    @requires(Permission.VIEWER)
    def show_queue(project: str, name: str) -> str:
        return _page(project, name, {})

    @area.post("/projects/<project>/queues/<name>")
    @requires(Permission.OPERATOR)
    def switch_one_queue(project: str, name: str) -> Response | tuple[str, int]:
        acts = switches("queues", project, "paused", on="pause", off="resume", name=name)
        return carry_out(acts, partial(_page, project, name))

    @area.post("/projects/<project>/queues/<name>/limits")
    @requires(Permission.DEVELOPER)
    def limit_queue(project: str, name: str) -> Response | tuple[str, int]:
        acts: dict[str, Callable[[], Shown | None]] = {"limit": lambda: _limit(project, name)}
        there = url_for("pages.show_queue", project=project, name=name)
        return carry_out(acts, partial(_page, project, name), to=there)


def _limit(project: str, name: str) -> None:
    actions.change(services(), actor(), KINDS["queues"], project, name, "limit", **_wanted_limits())


def _wanted_limits() -> dict[str, object]:
    """The limits that the form asks for. An empty field is no limit, which in a merge patch is null."""
    runs, seconds, burst = (_number(each, least=1) for each in ("rateRuns", "rateSeconds", "rateBurst"))
    if (runs is None) != (seconds is None):
        raise invalid(
            "rateRuns" if runs is None else "rateSeconds",
            "must be given too: a rate is so many runs in so many seconds",
        )
    if runs is None and burst is not None:
        raise invalid("rateBurst", "needs a rate")
    return {
        "concurrencyLimit": _number("concurrencyLimit", least=0),
        "concurrencyLimitPerKey": _number("concurrencyLimitPerKey", least=1),
        "maxPending": _number("maxPending", least=0),
        "rateLimit": None if runs is None else {"runs": runs, "perSeconds": seconds, "burst": burst},
    }


def _number(name: str, *, least: int) -> int | None:
    """A whole number of the form; None for an empty field. What else it must be the apiserver says."""
    given = text(name).strip()
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 9 and int(given) >= least):
        raise invalid(name, f"must be a whole number, {least} or more, or empty for no limit")
    return int(given)


def _page(project: str, name: str, shown: Shown) -> str:
    made = services()
    looked = look_up(made, "queues", project, name, RunFilter(queue=name))
    return render_template(
        "_queue.html" if fragment_wanted() else "queue.html",
        project=project,
        name=name,
        looked=looked,
        manifest="" if looked.item is None else definition_manifest("Queue", looked.item),
        keys=keys_of_queue(made, project, name),
        sent=request.form,
        now=made.clock.now(),
        **shown,
    )
