"""What is done to runs over HTTP: created, cancelled, held, released, replayed, put off, deleted."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Blueprint, Response, jsonify, request
from tidegate_api.job_names import job_name

from tidegate_web.api import bodies, responses
from tidegate_web.api.common import audited, require_project
from tidegate_web.api.creating import CreatedRun, create, wanted_run
from tidegate_web.api.erasing import erase
from tidegate_web.api.parameters import IDEMPOTENCY_KEY
from tidegate_web.api.replay import replayed
from tidegate_web.api.response_types import Run
from tidegate_web.api.run_bodies import ReplayRequest, RescheduleRequest, RunRequest
from tidegate_web.api.runs import as_json, find, written
from tidegate_web.auth.guard import actor_name, caller
from tidegate_web.cluster.client import ClusterError, jobs_path
from tidegate_web.openapi.operations import describes
from tidegate_web.services import Services, services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem, field_of_run, from_cluster
from tidegate_web.store.models import TERMINAL_PHASES
from tidegate_web.store.records import RunLike


def may_act_on(task: str | None) -> None:
    """403 for a key that is limited to other tasks."""
    asks = caller()
    if asks is not None and not asks.may_act_on(task):
        raise Problem(403, "This key is limited to other tasks.")


def cancel(made: Services, project: str, reference: str) -> RunLike:
    """Ask for a run's end; it is cancelled when the operator has seen to it."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    may_act_on(row.task)
    with audited(made, "run.cancel", project=project, target=row.name):
        return cancel_row(made, row)


def cancel_row(made: Services, row: RunLike) -> RunLike:
    """Ask for its end, and keep that; the row that it has then. 409 when there is nothing left to end."""
    return _changed(made, row, partial(made.cluster.cancel_run, row.project, row.name, uid=row.uid))


def suspend(made: Services, project: str, reference: str, *, hold: bool) -> RunLike:
    """Hold a run, of one that has started the next attempt; or release it. What is so already stays so."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    may_act_on(row.task)
    with audited(made, "run.suspend" if hold else "run.resume", project=project, target=row.name):
        # Asked for whatever the row says: the mirror may not have seen yet what kubectl did.
        change = partial(made.cluster.suspend_run, row.project, row.name, uid=row.uid, suspend=hold)
        return _changed(made, row, change)


def _changed(made: Services, row: RunLike, change: Callable[[], dict[str, Any]]) -> RunLike:
    """The row that a run has after a change of its spec; 409 when it has ended or is gone."""
    if row.phase in TERMINAL_PHASES or row.deleted_at is not None:
        raise Problem(409, "The run has ended already.")
    try:
        resource = change()
    except ClusterError as error:
        if error.status in (404, 409):
            raise Problem(409, "The run is gone from the cluster.") from error
        raise from_cluster(error, sent=field_of_run) from error
    return written(made, resource)


def create_asked(made: Services, project: str, body: Mapping[str, Any]) -> CreatedRun:
    """Make the run that a body asks for."""
    require_project(made, project, to_write=True)
    wanted = wanted_run(project, body, asks=caller(), header=request.headers.get("Idempotency-Key"))
    detail: dict[str, object] = {}
    with audited(made, "run.create", project=project, target=wanted.run.name, detail=detail) as deed:
        answer = create(made, project, wanted, who=actor_name(), deed=deed)
        if not answer.new:
            detail["new"] = False
    return answer


def replay(made: Services, project: str, reference: str, wish: ReplayRequest) -> CreatedRun:
    """Do the same again; the old run is left alone."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    may_act_on(row.task)
    wanted = replayed(row, wish)
    detail = {"of": row.uid, "as": wanted.run.name}
    with audited(made, "run.replay", project=project, target=row.name, detail=detail) as deed:
        return create(made, project, wanted, who=actor_name(), deed=deed)


def reschedule(made: Services, project: str, reference: str, wish: RescheduleRequest) -> RunLike:
    """Start it later, or now; 409 when it has begun."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    may_act_on(row.task)
    start_after = wish.start_after
    with audited(made, "run.reschedule", project=project, target=row.name, detail={"startAfter": start_after}):
        if row.deleted_at is not None:
            raise Problem(409, "The run is gone from the cluster.")
        try:
            resource = _reschedule(made, row, start_after)
        except ClusterError as error:
            if error.status in (404, 409):
                raise Problem(409, "The run has changed or is gone. Look at it again.") from error
            raise from_cluster(error, sent=field_of_run) from error
    return written(made, resource)


def _reschedule(made: Services, row: RunLike, start_after: str | None) -> dict[str, Any]:
    resource = made.cluster.get_run(row.project, row.name)
    if resource["metadata"]["uid"] != row.uid:
        raise Problem(409, "The run is gone from the cluster.")
    # The status tells of its first Job a little later than the Job is there.
    started = (resource.get("status") or {}).get("phase") != "Pending"
    if started or made.cluster.exists(f"{jobs_path(row.project)}/{job_name(row.name, row.uid, 1)}"):
        raise Problem(409, "The run has begun already.")
    return made.cluster.reschedule_run(row.project, resource, start_after=start_after)


def delete(made: Services, project: str, reference: str) -> None:
    """Delete a run for good, from the cluster and from the archive."""
    row = find(made, project, reference)
    if row.deleted_at is None:
        require_project(made, project, to_write=True)
    may_act_on(row.task)
    with audited(made, "run.delete", project=project, target=row.name, detail={"uid": row.uid}):
        erase(made, row)


def made_json(project: str, answer: CreatedRun) -> tuple[Response, int]:
    """A run that was made, or met, as it is answered."""
    response = jsonify(responses.whole(answer.row, responses.attempts(answer.row, {})))
    response.headers["Location"] = f"/api/v1/projects/{project}/runs/{answer.row.uid}"
    return response, 201 if answer.new else 200


def add_routes(area: Blueprint) -> None:
    """The routes of what is done to runs."""

    @area.post("/projects/<project>/runs")
    @requires(Permission.OPERATOR)
    @describes(
        "Create a run",
        parameters=[IDEMPOTENCY_KEY],
        body=RunRequest,
        answer=Run,
        status=(201, 200),
        headers=("Location",),
        problems=(409, 410, 502),
    )
    def create_run(project: str) -> tuple[Response, int]:
        return made_json(project, create_asked(services(), project, bodies.json_object()))

    @area.post("/projects/<project>/runs/<run>:cancel")
    @requires(Permission.OPERATOR)
    @describes("Cancel a run", answer=Run, status=202, problems=(409, 502))
    def cancel_run(project: str, run: str) -> tuple[Response, int]:
        made = services()
        return jsonify(as_json(made, cancel(made, project, run))), 202

    @area.post("/projects/<project>/runs/<run>:<any(suspend, resume):act>")
    @requires(Permission.OPERATOR)
    @describes("{act} a run", name="{act}_run", answer=Run, problems=(409, 502))
    def suspend_run(project: str, run: str, act: str) -> Response:
        made = services()
        return jsonify(as_json(made, suspend(made, project, run, hold=act == "suspend")))

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
        return made_json(project, replay(services(), project, run, bodies.read_optional(ReplayRequest)))

    @area.post("/projects/<project>/runs/<run>:reschedule")
    @requires(Permission.OPERATOR)
    @describes("Start it later, or now", body=RescheduleRequest, answer=Run, problems=(409, 502))
    def reschedule_run(project: str, run: str) -> Response:
        made = services()
        return jsonify(as_json(made, reschedule(made, project, run, bodies.read(RescheduleRequest))))

    @area.delete("/projects/<project>/runs/<run>")
    @requires(Permission.ADMIN)
    @describes("Delete a run for good, from the cluster and the archive", status=204, problems=(409, 502))
    def delete_run(project: str, run: str) -> tuple[str, int]:
        delete(services(), project, run)
        return "", 204
