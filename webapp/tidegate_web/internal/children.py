"""Children: runs that a run makes, looks at, cancels and reads, by the token of its pod.

Which runs are its own: they name it as ``parentRun``, were made here in its name, and not before it was there, as names are used
again. How a run fares that an idempotency key of theirs has met, whoever made it, they may ask by its uid: the meeting is noted
when it happens. All others are refused alike, so that nothing is learned of runs by guessing.
"""

from dataclasses import replace

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import bodies, responses
from tidegate_web.api.parameters import AFTER
from tidegate_web.api.response_types import ChildRun, Page, Run
from tidegate_web.api.run_bodies import RunRequest
from tidegate_web.api.runs import result
from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor, run_actor
from tidegate_web.auth.run_tokens import RunIdentity
from tidegate_web.cluster.client import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.current_app import services
from tidegate_web.internal.identity import identify
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import WholeNumber
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.actions import cancel_row
from tidegate_web.runs.create import create, wanted_run
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject, as_object
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import met_runs, run_list, runs
from tidegate_web.store.run_rows import RunRow, RunStatusRow

CHILDREN = WholeNumber(name="limit", description="So many items at most.", default=100, least=1, most=500)


def add_routes(area: Blueprint) -> None:
    """The routes of children."""

    @area.post("/runs/<uid>/children")
    @requires(Permission.RUN_TOKEN)
    @describes(
        "Create a child of the run",
        name="create_child",
        body=RunRequest,
        answer=Run,
        status=201,
        problems=(409, 429, 502),
    )
    def post_child(uid: str) -> tuple[Response, int]:
        made = services()
        identity = identify(made, uid, look_now=True)
        row = create_child(made, identity, bodies.json_object())
        return jsonify(responses.whole(row, {})), 201

    @area.get("/runs/<uid>/children")
    @requires(Permission.RUN_TOKEN)
    @describes("List the run's children", name="list_children", parameters=[CHILDREN, AFTER], answer=Page[ChildRun])
    def get_children(uid: str) -> Response:
        made = services()
        identity = identify(made, uid)
        limit = CHILDREN.asked()
        try:
            with made.engine.connect() as connection:
                # A name means its newest run: the children of an older one of this name aren't ours.
                parent = runs.find(connection, project=identity.project, reference=uid)
                page = run_list.children(
                    connection,
                    project=identity.project,
                    parent=identity.run_name,
                    since=None if parent is None else parent.created,
                    limit=limit,
                    after=request.args.get("after"),
                )
        except run_list.BadCursorError as error:
            raise Problem(422, str(error)) from error
        found: Page[ChildRun] = {"items": [as_child(row) for row in page.rows], "after": page.after}
        return jsonify(found)

    @area.get("/runs/<uid>/children/<child>")
    @requires(Permission.RUN_TOKEN)
    @describes(
        "Look at a child of the run, or at a run that a key has met",
        name="get_child",
        answer=ChildRun,
        problems=(502,),
    )
    def get_child(uid: str, child: str) -> Response:
        made = services()
        return jsonify(as_child(own_or_met(made, identify(made, uid), child)))

    @area.get("/runs/<uid>/children/<child>/result")
    @requires(Permission.RUN_TOKEN)
    @describes("Read what a child of the run gave back", answer=object, problems=(502,))
    def get_child_result(uid: str, child: str) -> Response:
        made = services()
        return result(made, own_child(made, identify(made, uid), child))

    @area.post("/runs/<uid>/children/<child>:cancel")
    @requires(Permission.RUN_TOKEN)
    @describes("Cancel a child of the run", answer=ChildRun, status=202, problems=(409, 502))
    def cancel_child(uid: str, child: str) -> tuple[Response, int]:
        made = services()
        identity = identify(made, uid, look_now=True)
        require_project(made, identity.project, to_write=True)
        row = own_child(made, identity, child)
        with audited(made, actor_of(identity), "run.cancel", project=identity.project, target=row.name):
            return jsonify(as_child(cancel_row(made, row))), 202


def actor_of(identity: RunIdentity) -> Actor:
    """The run that asks, with an operator's rights in its own project."""
    return run_actor(identity.run_name, project=identity.project, address=request.remote_addr or "")


def create_child(made: Services, identity: RunIdentity, body: JsonObject) -> RunRow:
    """A run of the same project, made with an operator's rights; whose child it is, is ours to say."""
    require_project(made, identity.project, to_write=True)
    actor = actor_of(identity)
    wanted = wanted_run(identity.project, body, actor=actor)
    spec = wanted.run.spec | {"parentRun": identity.run_name}
    wanted = replace(wanted, run=replace(wanted.run, spec=spec))
    with audited(made, actor, "run.create", project=identity.project, target=wanted.run.name) as action:
        answer = create(made, identity.project, wanted, who=actor.name, action=action)
    if not answer.new:
        with made.engine.begin() as connection:
            met_runs.keep(connection, run_uid=identity.run_uid, met_uid=answer.row.uid, now=made.clock.now())
    return answer.row


def own_or_met(made: Services, identity: RunIdentity, uid: str) -> RunRow:
    """A child, or a run of the project that a key of this run has met; 403 for everything else."""

    def has_met() -> bool:
        with made.engine.connect() as connection:
            return met_runs.has_met(connection, run_uid=identity.run_uid, met_uid=uid)

    if runs.is_uid(uid) and with_fallback(has_met, lambda: False):
        row = _look(made, identity.project, uid)
        if row is not None:
            return row
    return own_child(made, identity, uid)


def own_child(made: Services, identity: RunIdentity, uid: str) -> RunRow:
    """The child of that uid; 403 for everything else."""
    row = _look(made, identity.project, uid) if runs.is_uid(uid) else None
    if row is not None and row.parent_run == identity.run_name:
        # The archive knows who made it; what the mirror found while Postgres was away has the cluster's word alone.
        by_us = (row.submitted_by or row.requested_by) == actor_of(identity).name
        parent = _look(made, identity.project, identity.run_uid) if by_us else None
        if parent is not None and row.created >= parent.created:
            return row
    raise Problem(403, "This token opens the children of its own run alone, and that is none.")


def _look(made: Services, project: str, uid: str) -> RunRow | None:
    """A run as the archive has it, else as the cluster has."""

    def stored() -> RunRow | None:
        with made.engine.connect() as connection:
            return runs.find(connection, project=project, reference=uid)

    try:
        return with_fallback(stored, lambda: None) or made.runs.in_cluster.one(project, uid)
    except ClusterError as error:
        raise from_cluster(error) from error


def as_child(row: RunStatusRow) -> ChildRun:
    """A child as its parent needs to know it."""
    return {
        "uid": row.uid,
        "name": row.name,
        "phase": row.phase,
        "reason": row.reason,
        "message": row.message,
        "createdAt": rfc3339(row.created),
        "finishedAt": rfc3339(row.finished_at),
        "result": row.status.get("result"),
        "resultRef": as_object(row.status.get("resultRef")) or None,
    }
