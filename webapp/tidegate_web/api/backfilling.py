"""Past ticks of a Schedule over HTTP: which have no run, and a run for each."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.response_types import Backfill
from tidegate_web.api.run_bodies import BackfillRequest
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.definitions import backfilling
from tidegate_web.definitions.backfilling import Backfilled, Plan
from tidegate_web.openapi.operations import describes
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.times import parse_given_time, rfc3339_seconds


def backfill_json(plan: Plan, done: Backfilled | None = None) -> Backfill:
    """What a backfill would do, or has done."""
    return {
        "from": rfc3339_seconds(plan.since),
        "until": rfc3339_seconds(plan.until),
        "ticks": [rfc3339_seconds(tick) for tick in plan.missing],
        "there": plan.there + (done.there if done else 0),
        "started": done.made if done else 0,
        "batch": done.batch if done else None,
        "problems": done.problems if done else [],
    }


def add_routes(area: Blueprint) -> None:
    """The route of backfilling."""

    @area.post("/projects/<project>/schedules/<schedule>:backfill")
    @requires(Permission.OPERATOR)
    @describes(
        "Start a run for each past tick of a Schedule that has none",
        body=BackfillRequest,
        answer=Backfill,
        problems=(409, 502),
    )
    def backfill_schedule(project: str, schedule: str) -> Response:
        made, who, body = services(), actor(), bodies.read(BackfillRequest)
        since, until = parse_given_time(body.since), parse_given_time(body.until)
        assert since is not None, "the body has checked both"
        assert until is not None
        if body.dry_run:
            return jsonify(backfill_json(backfilling.plan(made, who, project, schedule, since=since, until=until)))
        return jsonify(backfill_json(*backfilling.backfill(made, who, project, schedule, since=since, until=until)))
