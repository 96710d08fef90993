"""Runs over HTTP: listed and looked at."""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.api import shapes
from tidegate_web.api.common import integer, one_of_projects, parse_filter
from tidegate_web.api.events import events
from tidegate_web.kubernetes import ClusterError
from tidegate_web.leader import LeaderError, Why
from tidegate_web.permissions import Permission, is_dns_label, requires
from tidegate_web.problems import Problem, from_cluster
from tidegate_web.services import Services, services
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.models import TERMINAL_PHASES, AnyRow
from tidegate_web.store.queries import logs, metadata, results, run_list, runs
from tidegate_web.store.records import run_record


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
    if is_dns_label(reference) and not runs.is_uid(reference):
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

    @area.get("/projects/<project>/runs/<run>/events")
    @requires(Permission.VIEWER)
    def get_events(project: str, run: str) -> Response:
        made = services()
        return jsonify({"items": events(made, find(made, project, run))})

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
