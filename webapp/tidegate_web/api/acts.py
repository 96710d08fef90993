"""What is done to runs over HTTP: created, cancelled."""

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import bodies, shapes
from tidegate_web.api.common import audited, one_of_projects
from tidegate_web.api.creating import Made, create, wanted_run
from tidegate_web.api.runs import as_json, find, remember
from tidegate_web.auth.guard import caller, whoever
from tidegate_web.kubernetes import ClusterError
from tidegate_web.permissions import Permission, requires
from tidegate_web.problems import Problem, from_cluster
from tidegate_web.services import Services, services
from tidegate_web.store.models import TERMINAL_PHASES, AnyRow
from tidegate_web.store.queries import runs


def may_act_on(task: str | None) -> None:
    """403 for a key that is limited to other tasks."""
    asks = caller()
    if asks is not None and not asks.may_act_on(task):
        raise Problem(403, "This key is limited to other tasks.")


def cancel(made: Services, project: str, reference: str) -> AnyRow:
    """Ask for a run's end; it is cancelled when the operator has seen to it."""
    one_of_projects(made, project, to_write=True)
    row = find(made, project, reference)
    may_act_on(row.task)
    with audited(made, "run.cancel", project=project, target=row.name):
        if row.phase in TERMINAL_PHASES or row.deleted_at is not None:
            raise Problem(409, "The run has ended already.")
        try:
            resource = made.cluster.cancel_run(project, row.name, uid=row.uid)
        except ClusterError as error:
            if error.status in (404, 409):
                raise Problem(409, "The run is gone from the cluster.") from error
            raise from_cluster(error) from error
    remember(made, resource, submitted_by=None)
    with made.engine.connect() as connection:
        return runs.find(connection, project=project, reference=row.uid) or row


def create_asked(made: Services, project: str) -> Made:
    """Make the run that the request asks for."""
    one_of_projects(made, project, to_write=True)
    header = request.headers.get("Idempotency-Key")
    wanted = wanted_run(project, bodies.json_object(), asks=caller(), header=header)
    detail: dict[str, object] = {}
    with audited(made, "run.create", project=project, target=wanted.run.name, detail=detail):
        answer = create(made, project, wanted, who=whoever())
        if not answer.new:
            detail["new"] = False
    return answer


def made_json(project: str, answer: Made) -> tuple[Response, int]:
    """A run that was made, or met, as it is answered."""
    response = jsonify(shapes.whole(answer.row, shapes.attempts(answer.row, {})))
    response.headers["Location"] = f"/api/v1/projects/{project}/runs/{answer.row.uid}"
    return response, 201 if answer.new else 200


def add_routes(area: Blueprint) -> None:
    """The routes of what is done to runs."""

    @area.post("/projects/<project>/runs")
    @requires(Permission.OPERATOR)
    def create_run(project: str) -> tuple[Response, int]:
        return made_json(project, create_asked(services(), project))

    @area.post("/projects/<project>/runs/<run>:cancel")
    @requires(Permission.OPERATOR)
    def cancel_run(project: str, run: str) -> tuple[Response, int]:
        made = services()
        return jsonify(as_json(made, cancel(made, project, run))), 202
