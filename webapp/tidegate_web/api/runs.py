"""Runs over HTTP: listed and looked at."""

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import responses
from tidegate_web.api.common import parse_filter
from tidegate_web.api.events import events_json
from tidegate_web.api.parameters import AFTER, LIMIT, RUN_FILTER, WAIT
from tidegate_web.api.response_types import Items, KubernetesEvent, PageOfRuns, Run, RunAttempt, RunLogs
from tidegate_web.auth.guard import role_here
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Text, WholeNumber
from tidegate_web.projects.existing import require_project
from tidegate_web.runs import listing, stored_logs
from tidegate_web.runs.documents import find_stored_result, stored_result
from tidegate_web.runs.events import events_of_run
from tidegate_web.runs.lookup import details_of, find, why
from tidegate_web.runs.why import WhyAnswer
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.task_spec import run_spec_shown, run_status_shown, sees_values
from tidegate_web.store.queries.run_list import RunFilter
from tidegate_web.store.run_rows import RunRow

ATTEMPT = WholeNumber(name="attempt", description="Of this attempt; 0: of all.", default=0, least=0, most=2**31 - 1)
POD = Text(name="pod", description="Of the pod of this name.")
AFTER_CHUNK = WholeNumber(name="after", description="What comes after this one.", default=0, least=0, most=2**62)


def as_json(made: Services, row: RunRow) -> Run:
    details = details_of(made, row)
    answer = responses.whole(row, details.progress, metadata=details.metadata)
    whole = sees_values(role_here(row.project))
    answer["spec"] = run_spec_shown(answer["spec"], whole=whole)
    answer["status"] = run_status_shown(answer["status"], whole=whole)
    return answer


def awaited(made: Services, row: RunRow) -> Response:
    """A run that was waited for, with its result where it has one."""
    inline = {"result": row.status["result"]} if "result" in row.status else {}
    response = jsonify({**as_json(made, row), **inline})
    if (stored := find_stored_result(made, row)) is not None:
        # As it was sent: a number that Python reads and writes again may be another one.
        response.data = response.data.rstrip()[:-1] + b',"result":' + stored + b"}\n"
    return response


def wait_url(row: RunRow, *, seconds: int) -> str:
    """Where the end of a run is waited for: streams and waits may have processes of their own."""
    return f"/live/v1/projects/{row.project}/runs/{row.uid}/wait?seconds={seconds}"


def listed(made: Services, project: str, wanted: RunFilter, *, limit: int, after: str | None) -> PageOfRuns:
    """A piece of the list, as it is answered."""
    found = listing.listed(made, project, wanted, limit=limit, after=after)
    page: PageOfRuns = {
        "items": [responses.listed(row) for row in found.page.rows],
        "after": found.page.after,
    }
    if found.from_cluster:
        page["source"] = "cluster"
        page["truncated"] = found.truncated
    return page


def result(made: Services, row: RunRow) -> Response:
    """What a run gave back: from its status, or from the store when it was too large for that."""
    if "result" in row.status:
        return jsonify(row.status["result"])
    return Response(stored_result(made, row), content_type="application/json")


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
    @describes(
        "Look at a run", parameters=[WAIT], answer=Run, status=(200, 303), headers=("Location",), problems=(502,)
    )
    def get_run(project: str, run: str) -> Response:
        made = services()
        seconds = WAIT.asked()
        row = find(made, project, run)
        response = jsonify(as_json(made, row))
        if seconds:
            response.status_code = 303
            response.headers["Location"] = wait_url(row, seconds=seconds)
        return response

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
    @describes("Explain what a run waits for", answer=WhyAnswer, problems=(502,))
    def get_why(project: str, run: str) -> Response:
        made = services()
        return jsonify(why(made, find(made, project, run)).as_json())

    @area.get("/projects/<project>/runs/<run>/events")
    @requires(Permission.VIEWER)
    @describes("List a run's Kubernetes Events", name="list_events", answer=Items[KubernetesEvent], problems=(502,))
    def get_events(project: str, run: str) -> Response:
        made = services()
        found: Items[KubernetesEvent] = {"items": events_json(events_of_run(made, find(made, project, run)))}
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
        found = stored_logs.page(made, row, after=after, attempt=attempt or None, pod=POD.asked())
        chunks = found.chunks
        if request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain":
            return Response("".join(chunk.text for chunk in chunks), content_type="text/plain; charset=utf-8")
        found_logs: RunLogs = {
            "items": [chunk.as_json() for chunk in chunks],
            "ends": [
                {"attempt": end.attempt, "pod": end.pod_name, "end": end.mark, "reason": end.reason}
                for end in found.ends
                if not attempt or end.attempt == attempt
            ],
            "after": chunks[-1].id if chunks else after,
        }
        return jsonify(found_logs)
