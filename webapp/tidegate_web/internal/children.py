"""Children of a run over HTTP, by the token of its pod. Which runs are its own: see ``runs/children.py``."""

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import bodies, responses
from tidegate_web.api.parameters import AFTER
from tidegate_web.api.response_types import ChildRun, Page, Run
from tidegate_web.api.run_bodies import RunRequest
from tidegate_web.api.runs import result
from tidegate_web.auth.actor import Actor, run_actor
from tidegate_web.auth.run_identity import RunIdentity
from tidegate_web.current_app import services
from tidegate_web.internal.identity import identify
from tidegate_web.openapi.operations import describes
from tidegate_web.openapi.parameters import WholeNumber
from tidegate_web.runs import children
from tidegate_web.shared.json_types import as_object
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.run_summary import as_phase
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.run_rows import RunStatusRow

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
        row = children.create_child(made, actor_of(identity), identity, bodies.json_object())
        return jsonify(responses.whole(row, {})), 201

    @area.get("/runs/<uid>/children")
    @requires(Permission.RUN_TOKEN)
    @describes("List the run's children", name="list_children", parameters=[CHILDREN, AFTER], answer=Page[ChildRun])
    def get_children(uid: str) -> Response:
        made = services()
        identity = identify(made, uid)
        page = children.children(made, identity, limit=CHILDREN.asked(), after=request.args.get("after"))
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
        identity = identify(made, uid)
        return jsonify(as_child(children.own_or_met(made, actor_of(identity), identity, child)))

    @area.get("/runs/<uid>/children/<child>/result")
    @requires(Permission.RUN_TOKEN)
    @describes("Read what a child of the run gave back", answer=object, problems=(502,))
    def get_child_result(uid: str, child: str) -> Response:
        made = services()
        identity = identify(made, uid)
        return result(made, children.own_child(made, actor_of(identity), identity, child))

    @area.post("/runs/<uid>/children/<child>:cancel")
    @requires(Permission.RUN_TOKEN)
    @describes("Cancel a child of the run", answer=ChildRun, status=202, problems=(409, 502))
    def cancel_child(uid: str, child: str) -> tuple[Response, int]:
        made = services()
        identity = identify(made, uid, look_now=True)
        return jsonify(as_child(children.cancel_child(made, actor_of(identity), identity, child))), 202


def actor_of(identity: RunIdentity) -> Actor:
    """The run that asks, with an operator's rights in its own project."""
    return run_actor(identity.run_name, project=identity.project, address=request.remote_addr or "")


def as_child(row: RunStatusRow) -> ChildRun:
    """A child as its parent needs to know it."""
    return {
        "uid": row.uid,
        "name": row.name,
        "phase": as_phase(row.phase),
        "reason": row.reason,
        "message": row.message,
        "createdAt": rfc3339(row.created),
        "finishedAt": rfc3339(row.finished_at),
        "result": row.status.get("result"),
        "resultRef": as_object(row.status.get("resultRef")) or None,
    }
