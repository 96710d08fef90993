"""Bulk operations over HTTP: accepted with what they are about, looked at while they go on, ended early."""

from dataclasses import replace

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.datastructures import MultiDict

from tidegate_web.api import bodies
from tidegate_web.api.common import parse_filter
from tidegate_web.api.response_types import BulkOperation
from tidegate_web.api.run_bodies import BulkRequest, RunConditions
from tidegate_web.audit.audited import audited
from tidegate_web.auth.caller import Caller
from tidegate_web.auth.guard import actor, caller
from tidegate_web.bulk.authors import ACTIONS
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.models import ACTIVE_PHASES
from tidegate_web.store.queries import bulk, run_list
from tidegate_web.store.queries.bulk import OperationRow
from tidegate_web.store.queries.run_list import RunFilter

MOST_MATCHING = 100_000
PROBLEMS_TOLD = 20
WORKER = "tidegate.bulk"


def accept(made: Services, project: str, wish: BulkRequest) -> int:
    """Note what is to be done, to which runs as of now; its number."""
    require_project(made, project, to_write=True)
    action = wish.action
    asks = caller()
    role = asks.role_in(project) if asks else None
    if asks is None or role is None or role < ACTIONS[action]:
        raise Problem(403, f"This needs the role {ACTIONS[action].label}.")
    uids = None if wish.uids is None else sorted(set(wish.uids))
    wanted = RunFilter() if wish.filter is None else wanted_filter(wish.filter)
    if action == "cancel" and not wanted.phases:
        wanted = replace(wanted, phases=ACTIVE_PHASES)
    detail = wish.model_dump(mode="json", include={"uids", "filter"}, by_alias=True, exclude_unset=True)
    with (
        audited(made, actor(), f"run.{action}-bulk", project=project, detail=detail),
        made.engine.begin() as connection,
    ):
        number = bulk.create(
            connection,
            project=project,
            action=action,
            requested_by=actor().name,
            address=request.remote_addr or "",
            tasks=None if asks.tasks is None else sorted(asks.tasks),
        )
        if uids is not None:
            bulk.add_uids(connection, operation=number, uids=uids)
        else:
            matching = run_list.matching(project, wanted, tasks=asks.tasks).limit(MOST_MATCHING + 1)
            if bulk.add_matching(connection, operation=number, matching=matching) > MOST_MATCHING:
                raise Problem(422, f"More than {MOST_MATCHING} runs match. Narrow the filter.")
    return number


def wanted_filter(told: RunConditions) -> RunFilter:
    """The filter of a list, as JSON."""
    arguments: MultiDict[str, str] = MultiDict()
    for name, value in told.model_dump(by_alias=True, exclude_unset=True).items():
        arguments.setlist(name, value if isinstance(value, list) else [value])
    return parse_filter(arguments)


def operation_json(made: Services, row: OperationRow) -> BulkOperation:
    """How far it is."""
    with made.engine.connect() as connection:
        failed = bulk.problems(connection, operation=row.id, limit=PROBLEMS_TOLD)
    return {
        "id": row.id,
        "action": row.action,
        "state": "Aborted" if row.aborted else "Finished" if row.finished is not None else "Running",
        "total": row.total,
        "done": row.done,
        "failed": row.failed,
        "problems": [{"uid": one.uid, "message": one.problem or ""} for one in failed],
        "requestedBy": row.requested_by,
        "createdAt": rfc3339(row.created),
        "finishedAt": rfc3339(row.finished),
    }


def find(made: Services, project: str, number: int) -> OperationRow:
    with made.engine.connect() as connection:
        row = bulk.get(connection, project=project, operation=number)
    if row is None:
        raise Problem(404, "There is no such operation.")
    return row


def abort(made: Services, project: str, number: int) -> OperationRow:
    """End it; what is done stays done. 409 when it has ended."""
    row = find(made, project, number)
    asks = caller()
    role = asks.role_in(project) if asks else None
    if asks is None or role is None or role < ACTIONS[row.action] or not may_abort(asks, row):
        raise Problem(403, "You may not do this.")
    with audited(made, actor(), "bulk.abort", project=project, target=str(number)):
        with made.engine.begin() as connection:
            ended = bulk.abort(connection, project=project, operation=number, now=made.clock.now())
        if not ended:
            raise Problem(409, "The operation has ended already.")
    return find(made, project, number)


def may_abort(asks: Caller, operation: OperationRow) -> bool:
    """A key that is limited to some tasks ends what it began itself, and nothing of others."""
    return asks.tasks is None or operation.requested_by == asks.name


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
        made = services()
        number = accept(made, project, bodies.read(BulkRequest))
        current_app.extensions[WORKER].wake()
        response = jsonify(operation_json(made, find(made, project, number)))
        response.headers["Location"] = f"/api/v1/projects/{project}/bulk/{number}"
        return response, 202

    @area.get("/projects/<project>/bulk/<id:bulk>")
    @requires(Permission.VIEWER)
    @describes("Look at an operation over many runs", answer=BulkOperation)
    def get_bulk(project: str, bulk: int) -> Response:
        made = services()
        return jsonify(operation_json(made, find(made, project, bulk)))

    @area.post("/projects/<project>/bulk/<id:bulk>:abort")
    @requires(Permission.OPERATOR)
    @describes("End an operation over many runs", answer=BulkOperation, problems=(409,))
    def abort_bulk(project: str, bulk: int) -> Response:
        made = services()
        return jsonify(operation_json(made, abort(made, project, bulk)))
