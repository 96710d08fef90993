"""Many runs in one call: all are looked at before the first is made, then each gets an answer of its own."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies, responses
from tidegate_web.api.response_types import Items, RunOfBatch
from tidegate_web.api.run_bodies import BatchRequest
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.batch import create_batch
from tidegate_web.runs.create import CreatedRun
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem


def answer_json(answer: CreatedRun | Problem) -> RunOfBatch:
    """What became of one run: the run as in a list, or why there is none."""
    if isinstance(answer, Problem):
        return {"status": answer.status, "problem": answer.as_json()}
    return {"status": 201 if answer.new else 200, "run": responses.summary(answer.row)}


def add_routes(area: Blueprint) -> None:
    """The route of batches."""

    @area.post("/projects/<project>/runs:batch")
    @requires(Permission.OPERATOR)
    @describes(
        "Create many runs, each with an answer of its own",
        name="create_runs",
        body=BatchRequest,
        answer=Items[RunOfBatch],
        problems=(502,),
    )
    def batch(project: str) -> Response:
        require_project(services(), project, to_write=True)
        body = bodies.json_object(limit=bodies.MAX_BATCH_BYTES)
        answers: Items[RunOfBatch] = {
            "items": [answer_json(answer) for answer in create_batch(services(), actor(), project, body)]
        }
        return jsonify(answers)
