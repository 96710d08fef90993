"""Bulk operations over HTTP: accepted with what they are about, looked at while they go on, ended early."""

from flask import Blueprint, Response, current_app, jsonify
from werkzeug.datastructures import MultiDict

from tidegate_web.api import bodies
from tidegate_web.api.common import parse_filter
from tidegate_web.api.response_types import BulkOperation
from tidegate_web.api.run_bodies import BulkRequest, RunConditions
from tidegate_web.auth.guard import actor
from tidegate_web.bulk import operations
from tidegate_web.bulk.operations import Operation
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.run_list import RunFilter

WORKER = "tidegate.bulk"


def wanted_filter(conditions: RunConditions) -> RunFilter:
    """The filter of a list, as JSON."""
    arguments: MultiDict[str, str] = MultiDict()
    for name, value in conditions.model_dump(by_alias=True, exclude_unset=True).items():
        arguments.setlist(name, value if isinstance(value, list) else [value])
    return parse_filter(arguments)


def accept(made: Services, project: str, body: BulkRequest) -> Operation:
    """The operation that a body asks for."""
    matching = RunFilter() if body.filter is None else wanted_filter(body.filter)
    detail = body.model_dump(mode="json", include={"uids", "filter"}, by_alias=True, exclude_unset=True)
    return operations.accept(made, actor(), project, body.action, uids=body.uids, matching=matching, detail=detail)


def operation_json(operation: Operation) -> BulkOperation:
    """How far it is."""
    row = operation.row
    return {
        "id": row.id,
        "action": row.action,
        "state": "Aborted" if row.aborted else "Finished" if row.finished is not None else "Running",
        "total": row.total,
        "done": row.done,
        "failed": row.failed,
        "problems": [{"uid": one.uid, "message": one.problem or ""} for one in operation.problems],
        "requestedBy": row.requested_by,
        "createdAt": rfc3339(row.created),
        "finishedAt": rfc3339(row.finished),
    }


def add_routes(area: Blueprint) -> None:
    """The routes of bulk operations."""

    @area.post("/projects/<project>/runs:bulk")
    @requires(Permission.OPERATOR)
    @describes(
        "Cancel, replay or delete many runs",
        name="create_bulk",
        body=BulkRequest,
        answer=BulkOperation,
        status=202,
        headers=("Location",),
    )
    def new_bulk(project: str) -> tuple[Response, int]:
        operation = accept(services(), project, bodies.read(BulkRequest))
        current_app.extensions[WORKER].wake()
        response = jsonify(operation_json(operation))
        response.headers["Location"] = f"/api/v1/projects/{project}/bulk/{operation.row.id}"
        return response, 202

    @area.get("/projects/<project>/bulk/<id:bulk>")
    @requires(Permission.VIEWER)
    @describes("Look at an operation over many runs", answer=BulkOperation)
    def get_bulk(project: str, bulk: int) -> Response:
        return jsonify(operation_json(operations.find(services(), project, bulk)))

    @area.post("/projects/<project>/bulk/<id:bulk>:abort")
    @requires(Permission.OPERATOR)
    @describes("End an operation over many runs", answer=BulkOperation, problems=(409,))
    def abort_bulk(project: str, bulk: int) -> Response:
        return jsonify(operation_json(operations.abort(services(), actor(), project, bulk)))
