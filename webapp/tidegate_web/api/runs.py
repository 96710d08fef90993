"""Runs over HTTP: create, list, look at, cancel."""

from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.api import bodies, shapes
from tidegate_web.api.common import audited, integer, one_of_projects, parse_filter
from tidegate_web.auth.guard import caller, whoever
from tidegate_web.kubernetes import ClusterError
from tidegate_web.leader import LeaderError, Why
from tidegate_web.permissions import Permission, Role, refused_fields, requires
from tidegate_web.problems import Problem, from_cluster
from tidegate_web.services import Services, services
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.models import TERMINAL_PHASES, AnyRow
from tidegate_web.store.queries import logs, metadata, results, run_list, runs
from tidegate_web.store.records import run_record

FULL_RETRY_SECONDS = "5"


def remember(made: Services, resource: dict[str, Any], *, submitted_by: str | None) -> bool:
    """Write a TaskRun that the apiserver has just answered, so that it can be read at once; False without Postgres,
    where the mirror writes it later."""
    record = run_record(resource, default_ttl_seconds=made.settings.default_ttl_seconds)
    try:
        with made.engine.begin() as connection:
            runs.upsert(connection, [record], submitted_by=submitted_by)
    except SQLAlchemyError as error:
        if not is_unavailable(error):
            raise
        return False
    return True


def find(made: Services, project: str, reference: str) -> AnyRow:
    """One run from the archive, else from the cluster (and then it is in the archive)."""
    with made.engine.connect() as connection:
        found = runs.find(connection, project=project, reference=reference)
    if found is not None:
        return found
    if not runs.is_uid(reference) and len(reference) <= 63:
        try:
            resource = made.cluster.get_run(project, reference)
        except ClusterError as error:
            if error.status != 404 and not error.unavailable:
                raise from_cluster(error) from error
        else:
            remember(made, resource, submitted_by=None)
            with made.engine.connect() as connection:
                found = runs.find(connection, project=project, reference=reference)
    if found is None:
        raise Problem(404, "There is no such run.")
    return found


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


def create(made: Services, project: str, body: dict[str, Any]) -> shapes.RunLike:
    """Make a TaskRun; what the apiserver made of it, stored at once where Postgres is there."""
    asks = caller()
    refuse_fields(body, role=asks.role_in(project) if asks else None, tasks=asks.tasks if asks else None)
    return make(made, project, bodies.new_run(body), requested_by=whoever())


def refuse_fields(body: dict[str, Any], *, role: Role | None, tasks: frozenset[str] | None = None) -> None:
    """403 for what may not be sent with a new run by this role, or by a key of some tasks."""
    refused = refused_fields(body, role=role, tasks=tasks)
    if refused:
        raise Problem(
            403,
            "You may not send every field of this body.",
            errors=[{"field": field, "message": message} for field, message in refused.items()],
        )


def make(made: Services, project: str, wanted: bodies.NewRun, *, requested_by: str) -> shapes.RunLike:
    """Have the apiserver make a TaskRun, for whoever is named."""
    with audited(made, "run.create", project=project, target=wanted.name, actor=requested_by):
        if (full := made.queues.full(project, wanted.spec)) is not None:
            raise Problem(
                429,
                f"Queue {full.name} is full: {full.pending} runs wait in it, and it takes {full.most} at most.",
                headers={"Retry-After": FULL_RETRY_SECONDS},
            )
        try:
            resource = made.cluster.create_run(project, wanted.manifest(project=project, requested_by=requested_by))
        except ClusterError as error:
            raise from_cluster(error) from error
    remember(made, resource, submitted_by=requested_by)
    record = run_record(resource, default_ttl_seconds=made.settings.default_ttl_seconds)
    return SimpleNamespace(**record.columns(), deleted_at=None, submitted_by=requested_by)


def may_act_on(task: str | None) -> None:
    """403 for a key that is limited to other tasks."""
    asks = caller()
    if asks is not None and not asks.may_act_on(task):
        raise Problem(403, "This key is limited to other tasks.")


def why(made: Services, row: AnyRow) -> Why:
    """What holds a run right now; what its status says of one that has ended."""
    if row.phase in TERMINAL_PHASES:
        return Why(reason=row.reason or row.phase, message=row.message or "")
    try:
        return made.leader.why(row.project, row.name, uid=row.uid)
    except LeaderError as error:
        return Why(reason="Unknown", message=str(error))


def as_json(made: Services, row: AnyRow) -> dict[str, Any]:
    with made.engine.connect() as connection:
        told = runs.progress_of(connection, uid=row.uid)
        kept = metadata.of_run(connection, run_uid=row.uid)
    return shapes.whole(row, shapes.attempts(row, told), metadata=kept)


def result(made: Services, row: AnyRow) -> Response:
    """What a run gave back: from its status, or from the store when it was too large for that."""
    if "result" in row.status:
        return jsonify(row.status["result"])
    referred = row.status.get("resultRef")
    if not referred:
        raise Problem(404, "The run has no result.")
    reference = results.Reference(bytes=int(referred.get("bytes") or 0), sha256=str(referred.get("sha256") or ""))
    with made.engine.connect() as connection:
        stored = results.find(connection, run_uid=row.uid, reference=reference)
    if stored is None:
        raise Problem(404, "The store doesn't hold the result that the run's status refers to.")
    return Response(stored, content_type="application/json")


def add_routes(area: Blueprint) -> None:
    """The routes of runs."""

    @area.post("/projects/<project>/runs")
    @requires(Permission.OPERATOR)
    def create_run(project: str) -> tuple[Response, int]:
        made = services()
        one_of_projects(made, project, to_write=True)
        if "Idempotency-Key" in request.headers:
            raise Problem(501, "Idempotency keys aren't supported yet.")
        row = create(made, project, bodies.json_object())
        response = jsonify(shapes.whole(row, shapes.attempts(row, {})))
        response.headers["Location"] = f"/api/v1/projects/{project}/runs/{row.uid}"
        return response, 201

    @area.get("/projects/<project>/runs")
    @requires(Permission.VIEWER)
    def list_runs(project: str) -> Response:
        made = services()
        one_of_projects(made, project)
        limit = integer("limit", default=50, least=1, most=500)
        try:
            with made.engine.connect() as connection:
                page = run_list.page(
                    connection,
                    project=project,
                    wanted=parse_filter(request.args),
                    limit=limit,
                    after=request.args.get("after"),
                )
        except run_list.BadCursorError as error:
            raise Problem(422, str(error)) from error
        return jsonify({"items": [shapes.listed(row) for row in page.rows], "after": page.after})

    @area.get("/projects/<project>/runs/<run>")
    @requires(Permission.VIEWER)
    def get_run(project: str, run: str) -> Response:
        made = services()
        return jsonify(as_json(made, find(made, project, run)))

    @area.get("/projects/<project>/runs/<run>/attempts")
    @requires(Permission.VIEWER)
    def get_attempts(project: str, run: str) -> Response:
        made = services()
        row = find(made, project, run)
        with made.engine.connect() as connection:
            told = runs.progress_of(connection, uid=row.uid)
        return jsonify({"items": shapes.attempts(row, told)})

    @area.get("/projects/<project>/runs/<run>/result")
    @requires(Permission.VIEWER)
    def get_result(project: str, run: str) -> Response:
        made = services()
        return result(made, find(made, project, run))

    @area.get("/projects/<project>/runs/<run>/why")
    @requires(Permission.VIEWER)
    def get_why(project: str, run: str) -> Response:
        made = services()
        return jsonify(why(made, find(made, project, run)).as_json())

    @area.get("/projects/<project>/runs/<run>/logs")
    @requires(Permission.VIEWER)
    def get_logs(project: str, run: str) -> Response:
        made = services()
        row = find(made, project, run)
        attempt = integer("attempt", default=0, least=0, most=2**31 - 1)
        after = integer("after", default=0, least=0, most=2**62)
        with made.engine.connect() as connection:
            chunks = logs.chunks(
                connection,
                run_uid=row.uid,
                run_created=row.created,
                after=after,
                attempt=attempt or None,
                pod=request.args.get("pod"),
            )
            ends = logs.ends(connection, run_uid=row.uid)
        if request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain":
            return Response("".join(chunk.text for chunk in chunks), content_type="text/plain; charset=utf-8")
        return jsonify(
            {
                "items": [chunk.as_json() for chunk in chunks],
                "ends": [
                    {"attempt": end.attempt, "pod": end.pod_name, "end": end.mark, "reason": end.reason}
                    for end in ends
                    if not attempt or end.attempt == attempt
                ],
                "after": chunks[-1].id if chunks else after,
            }
        )

    @area.post("/projects/<project>/runs/<run>:cancel")
    @requires(Permission.OPERATOR)
    def cancel_run(project: str, run: str) -> tuple[Response, int]:
        made = services()
        return jsonify(as_json(made, cancel(made, project, run))), 202
