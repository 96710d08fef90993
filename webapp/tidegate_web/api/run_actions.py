"""What is done to runs over HTTP: created, cancelled, suspended, resumed, replayed, rescheduled, deleted."""

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import bodies, responses
from tidegate_web.api.parameters import IDEMPOTENCY_KEY, WAIT
from tidegate_web.api.response_types import Run
from tidegate_web.api.run_bodies import ReplayRequest, RescheduleRequest, RunRequest
from tidegate_web.api.runs import as_json, wait_url
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.runs.actions import cancel, create_asked, delete, replay, reschedule, suspend
from tidegate_web.runs.create import CreatedRun
from tidegate_web.shared.permissions import Permission, requires


def made_json(project: str, answer: CreatedRun, *, wait: int = 0) -> tuple[Response, int]:
    """A run that was made, or met, as it is answered; ``wait``: seconds that the caller waits for its end."""
    response = jsonify(responses.whole(answer.row, {}))
    if wait:
        response.headers["Location"] = wait_url(answer.row, seconds=wait)
        return response, 303
    response.headers["Location"] = f"/api/v1/projects/{project}/runs/{answer.row.uid}"
    return response, 201 if answer.new else 200


def add_routes(area: Blueprint) -> None:
    """The routes of what is done to runs."""

    @area.post("/projects/<project>/runs")
    @requires(Permission.OPERATOR)
    @describes(
        "Create a run",
        parameters=[IDEMPOTENCY_KEY, WAIT],
        body=RunRequest,
        answer=Run,
        status=(201, 200, 303),
        headers=("Location",),
        problems=(409, 410, 502),
    )
    def create_run(project: str) -> tuple[Response, int]:
        wait = WAIT.asked()  # before anything is created
        return made_json(
            project,
            create_asked(
                services(),
                actor(),
                project,
                bodies.json_object(),
                idempotency_key=request.headers.get("Idempotency-Key"),
            ),
            wait=wait,
        )

    @area.post("/projects/<project>/runs/<run>:cancel")
    @requires(Permission.OPERATOR)
    @describes("Cancel a run", answer=Run, status=202, problems=(409, 502))
    def cancel_run(project: str, run: str) -> tuple[Response, int]:
        made = services()
        return jsonify(as_json(made, cancel(made, actor(), project, run))), 202

    @area.post("/projects/<project>/runs/<run>:<any(suspend, resume):act>")
    @requires(Permission.OPERATOR)
    @describes("{act} a run", name="{act}_run", answer=Run, problems=(409, 502))
    def suspend_run(project: str, run: str, act: str) -> Response:
        made = services()
        return jsonify(as_json(made, suspend(made, actor(), project, run, hold=act == "suspend")))

    @area.post("/projects/<project>/runs/<run>:replay")
    @requires(Permission.OPERATOR)
    @describes(
        "Run it again",
        body=ReplayRequest,
        body_required=False,
        answer=Run,
        status=(201, 200),
        headers=("Location",),
        problems=(409, 502),
    )
    def replay_run(project: str, run: str) -> tuple[Response, int]:
        body = bodies.read_optional(ReplayRequest)
        payload = body.payload if "payload" in body.model_fields_set else None
        return made_json(project, replay(services(), actor(), project, run, name=body.name, payload=payload))

    @area.post("/projects/<project>/runs/<run>:reschedule")
    @requires(Permission.OPERATOR)
    @describes("Start it later, or now", body=RescheduleRequest, answer=Run, problems=(409, 502))
    def reschedule_run(project: str, run: str) -> Response:
        made = services()
        return jsonify(
            as_json(
                made, reschedule(made, actor(), project, run, start_after=bodies.read(RescheduleRequest).start_after)
            )
        )

    @area.delete("/projects/<project>/runs/<run>")
    @requires(Permission.ADMIN)
    @describes("Delete a run for good, from the cluster and the archive", status=204, problems=(409, 502))
    def delete_run(project: str, run: str) -> tuple[str, int]:
        delete(services(), actor(), project, run)
        return "", 204
