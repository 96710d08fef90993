"""Runs over HTTP: listed and looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import responses
from tidegate_web.api.common import parse_filter, require_project
from tidegate_web.api.events import events
from tidegate_web.api.parameters import AFTER, LIMIT, RUN_FILTER
from tidegate_web.api.response_types import Items, KubernetesEvent, PageOfRuns, Run, RunAttempt, RunLogs
from tidegate_web.auth.guard import role_here
from tidegate_web.cluster.client import ClusterError
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import Text, WholeNumber
from tidegate_web.runs.why import LeaderError, Why, WhyAnswer
from tidegate_web.services import Services, services
from tidegate_web.shared.permissions import Permission, is_dns_label, requires
from tidegate_web.shared.problems import Problem, from_cluster, postgres_away
from tidegate_web.shared.task_spec import run_spec_shown, sees_values
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.models import TERMINAL_PHASES, AnyRow
from tidegate_web.store.queries import logs, metadata, results, run_list, runs
from tidegate_web.store.queries.run_list import RunFilter
from tidegate_web.store.records import RunLike, is_from_cluster, run_record, whole_number


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """What pods and the mirror have told of a run."""

    progress: dict[int, AnyRow] = field(default_factory=dict)
    ends: Sequence[AnyRow] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


ATTEMPT = WholeNumber(name="attempt", description="Of this attempt; 0: of all.", default=0, least=0, most=2**31 - 1)
POD = Text(name="pod", description="Of the pod of this name.")
AFTER_CHUNK = WholeNumber(name="after", description="What comes after this one.", default=0, least=0, most=2**62)


def remember(made: Services, resource: dict[str, Any]) -> bool:
    """Write a TaskRun that the apiserver has just answered, so that it can be read at once; False without Postgres,
    where the mirror writes it later."""
    record = run_record(resource, default_ttl_seconds=made.settings.default_ttl_seconds)

    def write() -> bool:
        with made.engine.begin() as connection:
            runs.upsert(connection, [record])
        return True

    return with_fallback(write, lambda: False)


def written(made: Services, resource: dict[str, Any]) -> RunLike:
    """Write a TaskRun that the apiserver has just answered to a change of it; the row that it has now."""
    remember(made, resource)
    metadata = resource["metadata"]
    made.cluster_runs.forget(metadata["namespace"])

    def stored() -> RunLike:
        with made.engine.connect() as connection:
            found = runs.find(connection, project=metadata["namespace"], reference=metadata["uid"])
        return found or made.cluster_runs.row(resource)

    return with_fallback(stored, lambda: made.cluster_runs.row(resource))


def details_of(made: Services, row: RunLike) -> RunDetails:
    """What isn't in the row; nothing while Postgres is away."""

    def ask() -> RunDetails:
        with made.engine.connect() as connection:
            return RunDetails(
                progress=runs.progress_of(connection, uid=row.uid),
                ends=logs.ends(connection, run_uid=row.uid),
                metadata=metadata.of_run(connection, run_uid=row.uid),
            )

    return RunDetails() if is_from_cluster(row) else with_fallback(ask, RunDetails)


def find(made: Services, project: str, reference: str) -> RunLike:
    """One run from the archive, else from the cluster (and then it is in the archive). While Postgres is away it is as the
    cluster has it."""
    return with_fallback(lambda: _find(made, project, reference), lambda: find_in_cluster(made, project, reference))


def find_in_cluster(made: Services, project: str, reference: str) -> RunLike:
    """503 when the cluster hasn't it: the archive may."""
    row = made.cluster_runs.one(project, reference)
    if row is None:
        raise postgres_away()
    return row


def _find(made: Services, project: str, reference: str) -> AnyRow:
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
            remember(made, resource)
            with made.engine.connect() as connection:
                found = runs.find(connection, project=project, reference=reference)
    if found is None:
        raise Problem(404, "There is no such run.")
    return found


def why(made: Services, row: RunLike) -> Why:
    """What holds a run right now; what its status says of one that has ended."""
    if row.phase in TERMINAL_PHASES:
        return Why(reason=row.reason or row.phase, message=row.message or "")
    try:
        return made.leader.why(row.project, row.name, uid=row.uid)
    except LeaderError as error:
        return Why(reason="Unknown", message=str(error))


def as_json(made: Services, row: RunLike) -> Run:
    told = details_of(made, row)
    answer = responses.whole(row, responses.attempts(row, told.progress), metadata=told.metadata)
    answer["spec"] = run_spec_shown(answer["spec"], whole=sees_values(role_here(row.project)))
    return answer


def listed(made: Services, project: str, wanted: RunFilter, *, limit: int, after: str | None) -> PageOfRuns:
    """A piece of the list, as it is answered."""

    def stored() -> PageOfRuns:
        with made.engine.connect() as connection:
            return listed_json(run_list.page(connection, project=project, wanted=wanted, limit=limit, after=after))

    def in_cluster() -> PageOfRuns:
        found = made.cluster_runs.of(project)
        page = listed_json(found.page(wanted, limit=limit, after=after))
        return {**page, **responses.source(True), "truncated": found.truncated}

    try:
        return with_fallback(stored, in_cluster)
    except run_list.BadCursorError as error:
        raise Problem(422, str(error)) from error


def listed_json(page: run_list.Page) -> PageOfRuns:
    return {"items": [responses.listed(row) for row in page.rows], "after": page.after}


def result(made: Services, row: RunLike) -> Response:
    """What a run gave back: from its status, or from the store when it was too large for that."""
    if "result" in row.status:
        return jsonify(row.status["result"])
    referred = row.status.get("resultRef")
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
    @describes("Read what a run gave back", answer=Any, problems=(502,))
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
