"""A Schedule triggered over HTTP."""

from flask import Blueprint, Response

from tidegate_web.api import bodies
from tidegate_web.api.response_types import Run
from tidegate_web.api.run_actions import made_json
from tidegate_web.api.run_bodies import TriggerRequest
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.definitions.triggering import trigger
from tidegate_web.openapi.operations import describes
from tidegate_web.shared.permissions import Permission, requires


def add_routes(area: Blueprint) -> None:
    """The route of triggering."""

    @area.post("/projects/<project>/schedules/<schedule>:trigger")
    @requires(Permission.OPERATOR)
    @describes(
        "Make a run of a Schedule's template now",
        body=TriggerRequest,
        body_required=False,
        answer=Run,
        status=(201, 200),
        headers=("Location",),
        problems=(409, 502),
    )
    def trigger_schedule(project: str, schedule: str) -> tuple[Response, int]:
        body = bodies.read_optional(TriggerRequest)
        payload = body.payload if "payload" in body.model_fields_set else None
        return made_json(project, trigger(services(), actor(), project, schedule, payload=payload))
