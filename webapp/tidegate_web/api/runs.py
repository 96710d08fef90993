"""Runs over HTTP: listed and looked at."""

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import responses
from tidegate_web.api.common import parse_filter
from tidegate_web.api.events import events
from tidegate_web.api.parameters import AFTER, LIMIT, RUN_FILTER
from tidegate_web.api.response_types import Items, KubernetesEvent, PageOfRuns, Run, RunAttempt, RunLogs
from tidegate_web.auth.guard import role_here
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Text, WholeNumber
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.lookup import details_of, find, why
from tidegate_web.runs.why import WhyAnswer
from tidegate_web.services import Services
from tidegate_web.shared.json_types import as_object, whole_number
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.task_spec import run_spec_shown, sees_values
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import logs, results, run_list
from tidegate_web.store.queries.run_list import RunFilter
from tidegate_web.store.run_rows import ListedRunRow, RunRow

ATTEMPT = WholeNumber(name="attempt", description="Of this attempt; 0: of all.", default=0, least=0, most=2**31 - 1)
POD = Text(name="pod", description="Of the pod of this name.")
AFTER_CHUNK = WholeNumber(name="after", description="What comes after this one.", default=0, least=0, most=2**62)


def as_json(made: Services, row: RunRow) -> Run:
    told = details_of(made, row)
    answer = responses.whole(row, told.progress, metadata=told.metadata)
    answer["spec"] = run_spec_shown(answer["spec"], whole=sees_values(role_here(row.project)))
    return answer


def listed(made: Services, project: str, wanted: RunFilter, *, limit: int, after: str | None) -> PageOfRuns:
    """A piece of the list, as it is answered."""

    def stored() -> PageOfRuns:
        with made.engine.connect() as connection:
            return listed_json(run_list.page(connection, project=project, wanted=wanted, limit=limit, after=after))

    def in_cluster() -> PageOfRuns:
        found = made.runs.in_cluster.of(project)
        page = listed_json(found.page(wanted, limit=limit, after=after))
        return {**page, **responses.source(True), "truncated": found.truncated}

    try:
        return with_fallback(stored, in_cluster)
    except run_list.BadCursorError as error:
        raise Problem(422, str(error)) from error


def listed_json(page: run_list.Page[ListedRunRow]) -> PageOfRuns:
    return {"items": [responses.listed(row) for row in page.rows], "after": page.after}


def result(made: Services, row: RunRow) -> Response:
    """What a run gave back: from its status, or from the store when it was too large for that."""
    if "result" in row.status:
        return jsonify(row.status["result"])
    referred = as_object(row.status.get("resultRef"))
    if not referred:
        raise Problem(404, "The run has no result.")
    reference = results.Reference(
        bytes=whole_number(referred.get("bytes")) or 0, sha256=str(referred.get("sha256") or "")
    )
    with made.engine.connect() as connection:
        stored = results.find(connection, run_uid=row.uid, reference=reference)
    if stored is None:
        raise Problem(404, "The store doesn't hold the result that the run's status refers to.")
    return Response(stored, content_type="application/json")


def add_routes(area: Blueprint) -> None:
    """The routes of runs."""

    @area.get("/projects/<project>/runs")
    @requires(Permission.VIEWER)
    @describes("List runs, newest first", parameters=[*RUN_FILTER, LIMIT, AFTER], answer=PageOfRuns)
    def list_runs(project: str) -> Response:
        made = services()
        require_project(made, project)
        found = listed(made, project, parse_filter(request.args), limit=LIMIT.asked(), after=request.args.get("after"))
        return jsonify(found)

    @area.get("/projects/<project>/runs/<run>")
    @requires(Permission.VIEWER)
    @describes("Look at a run", answer=Run, problems=(502,))
    def get_run(project: str, run: str) -> Response:
        made = services()
        return jsonify(as_json(made, find(made, project, run)))

    @area.get("/projects/<project>/runs/<run>/attempts")
    @requires(Permission.VIEWER)
    @describes("List a run's attempts", name="list_attempts", answer=Items[RunAttempt], problems=(502,))
    def get_attempts(project: str, run: str) -> Response:
        made = services()
        row = find(made, project, run)
        return jsonify({"items": responses.attempts(row, details_of(made, row).progress)})

    @area.get("/projects/<project>/runs/<run>/result")
    @requires(Permission.VIEWER)
    @describes("Read what a run gave back", answer=object, problems=(502,))
    def get_result(project: str, run: str) -> Response:
        made = services()
        return result(made, find(made, project, run))

    @area.get("/projects/<project>/runs/<run>/why")
    @requires(Permission.VIEWER)
    @describes("Tell what a run waits for", answer=WhyAnswer, problems=(502,))
    def get_why(project: str, run: str) -> Response:
        made = services()
        return jsonify(why(made, find(made, project, run)).as_json())

    @area.get("/projects/<project>/runs/<run>/events")
    @requires(Permission.VIEWER)
    @describes("List a run's Kubernetes Events", name="list_events", answer=Items[KubernetesEvent], problems=(502,))
    def get_events(project: str, run: str) -> Response:
        made = services()
        found: Items[KubernetesEvent] = {"items": events(made, find(made, project, run))}
        return jsonify(found)

    @area.get("/projects/<project>/runs/<run>/logs")
    @requires(Permission.VIEWER)
    @describes(
        "Read a run's logs",
        parameters=[ATTEMPT, POD, AFTER_CHUNK],
        answer=RunLogs,
        media={"text/plain": str},
        problems=(502,),
    )
    def get_logs(project: str, run: str) -> Response:
        made = services()
        row = find(made, project, run)
        attempt = ATTEMPT.asked()
        after = AFTER_CHUNK.asked()
        with made.engine.connect() as connection:
            chunks = logs.chunks(
                connection,
                run_uid=row.uid,
                run_created=row.created,
                after=after,
                attempt=attempt or None,
                pod=POD.asked(),
            )
            ends = logs.ends(connection, run_uid=row.uid)
        if request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain":
            return Response("".join(chunk.text for chunk in chunks), content_type="text/plain; charset=utf-8")
        told: RunLogs = {
            "items": [chunk.as_json() for chunk in chunks],
            "ends": [
                {"attempt": end.attempt, "pod": end.pod_name, "end": end.mark, "reason": end.reason}
                for end in ends
                if not attempt or end.attempt == attempt
            ],
            "after": chunks[-1].id if chunks else after,
        }
        return jsonify(told)
