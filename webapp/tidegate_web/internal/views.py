"""``/internal/v1``: progress, results, checkpoints, metadata and children of runs, read and reported by their pods.

What is answered with success is committed; while Postgres is away the answer is 503, and the pod tries again.
"""

import threading
from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.response_types import KeptMetadata
from tidegate_web.api.run_bodies import ProgressTold
from tidegate_web.current_app import services
from tidegate_web.internal import children
from tidegate_web.internal.identity import identify
from tidegate_web.openapi.operations import describes
from tidegate_web.runs import documents, metadata_change
from tidegate_web.runs.progress_pacing import ProgressReport
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import results
from tidegate_web.store.records import clean

MAX_RESULT_BYTES = 8 * 1024 * 1024
MAX_CHECKPOINT_BYTES = 1024 * 1024
LARGE_AT_ONCE = 2
"""Results that are parsed at the same time: a small document can be a large heap of objects."""


def blueprint() -> Blueprint:
    """``/internal/v1``."""
    area = Blueprint("internal", __name__, url_prefix="/internal/v1")
    parsing = threading.BoundedSemaphore(LARGE_AT_ONCE)

    @area.post("/runs/<uid>/progress")
    @requires(Permission.RUN_TOKEN)
    @describes("Report the progress of the run", name="tell_progress", body=ProgressTold, status=204)
    def progress(uid: str) -> tuple[str, int]:
        made = services()
        identity = identify(made, uid)
        said = bodies.read(ProgressTold, nul_too=True)
        report = ProgressReport(
            identity=identity, progress=said.progress, message=clean(said.message), at=made.clock.now()
        )
        if not made.runs.progress.report(report):
            raise Problem(503, "The progress can't be kept at the moment.", headers={"Retry-After": "5"})
        return "", 204

    @area.route("/runs/<uid>/result", methods=["PUT", "POST"])
    @requires(Permission.RUN_TOKEN)
    @describes("Keep the run's result", name="{method}_result", body=object, answer=results.Reference)
    def put_result(uid: str) -> Response:
        made = services()
        identity = identify(made, uid)
        data = bodies.json_document(limit=MAX_RESULT_BYTES, parsing=parsing)
        reference = documents.save_result(made, identity, data)
        return jsonify(asdict(reference))

    @area.route("/runs/<uid>/checkpoint", methods=["PUT", "POST"])
    @requires(Permission.RUN_TOKEN)
    @describes("Keep the run's checkpoint", name="{method}_checkpoint", body=object, status=204, problems=(409,))
    def put_checkpoint(uid: str) -> tuple[str, int]:
        made = services()
        identity = identify(made, uid)
        data = bodies.json_document(limit=MAX_CHECKPOINT_BYTES)
        documents.save_checkpoint(made, identity, data)
        return "", 204

    @area.get("/runs/<uid>/checkpoint")
    @requires(Permission.RUN_TOKEN)
    @describes("Read the run's checkpoint", answer=object)
    def get_checkpoint(uid: str) -> Response:
        made = services()
        data = documents.checkpoint(made, identify(made, uid))
        return Response(data, content_type="application/json")

    @area.post("/runs/<uid>/metadata")
    @requires(Permission.RUN_TOKEN)
    @describes("Change the run's metadata", name="change_metadata", body=metadata_change.Change, answer=KeptMetadata)
    def post_metadata(uid: str) -> Response:
        made = services()
        identity = identify(made, uid)
        answer: KeptMetadata = {"metadata": documents.change_metadata(made, identity, bodies.json_object(nul_too=True))}
        return jsonify(answer)

    children.add_routes(area)
    return area
