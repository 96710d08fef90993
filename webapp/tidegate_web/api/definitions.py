"""Tasks, Queues, Schedules and WorkerPools over HTTP. They live in the cluster alone: what is answered is what the apiserver says."""

from flask import Blueprint, Response, jsonify, request
from tidegate_api.run_json import definition_json

from tidegate_web.api import bodies
from tidegate_web.api.parameters import AFTER, IF_MATCH, IF_NONE_MATCH, LIMIT
from tidegate_web.api.response_types import Definition as DefinitionAnswer
from tidegate_web.api.response_types import Page, PoolDefinition, QueueDefinition, ScheduleDefinition, TaskDefinition
from tidegate_web.api.run_bodies import DefinitionBody, PoolBody, QueueBody, ScheduleBody, TaskBody
from tidegate_web.auth.guard import actor, role_here
from tidegate_web.cluster.definitions import KINDS, Definition, Kind
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.current_app import services
from tidegate_web.definitions import actions
from tidegate_web.openapi.operations import By, describes
from tidegate_web.runs.new_run import check_labels
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.task_spec import definition_spec_shown, sees_values

ANY_KIND = "<any(tasks, queues, schedules, pools):kind>"
ONE = By(
    argument="kind",
    types={
        "tasks": TaskDefinition,
        "queues": QueueDefinition,
        "schedules": ScheduleDefinition,
        "pools": PoolDefinition,
    },
)
PAGE = By(argument="kind", types={plural: Page[one] for plural, one in ONE.types.items()})  # type: ignore[valid-type]
BODY = By(argument="kind", types={"tasks": TaskBody, "queues": QueueBody, "schedules": ScheduleBody, "pools": PoolBody})


def definition_shown(resource: KubeObject) -> DefinitionAnswer:
    """One object as the caller may see it."""
    shown = definition_json(resource)
    shown["spec"] = definition_spec_shown(shown["spec"], whole=sees_values(role_here(shown["project"])))
    return shown


def answered(resource: KubeObject, status: int = 200) -> tuple[Response, int]:
    """One object, with its version as ETag."""
    response = jsonify(definition_shown(resource))
    response.set_etag(resource["metadata"]["resourceVersion"])
    return response, status


def seen_version() -> str | None:
    """The version that the object must have (``If-Match``), "" when it mustn't be there (``If-None-Match: *``)."""
    if request.if_none_match.star_tag:
        return ""
    if "If-None-Match" in request.headers:
        raise Problem(400, "If-None-Match may be * alone.")
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    tags = request.if_match.as_set()
    if len(tags) != 1:
        raise Problem(400, "If-Match must have one version.")
    version = next(iter(tags))
    if not (version.isascii() and version.isdecimal() and len(version) <= 20):
        raise actions.stale()
    return str(version)


def listed(made: Services, kind: Kind, project: str) -> Page[DefinitionAnswer]:
    """A piece of the list, in the order of names, and where the next begins."""
    found = actions.listed(made, kind, project, limit=LIMIT.asked(), after=request.args.get("after") or None)
    return {
        "items": [definition_shown(item) for item in found["items"]],
        "after": found["metadata"].get("continue") or None,
    }


def wanted_definition() -> Definition:
    """``{"spec": {…}, "labels": {…}}``, of which the apiserver checks the spec."""
    body = bodies.read(DefinitionBody)
    return Definition(spec=body.spec, labels=None if body.labels is None else check_labels(body.labels))


def add_routes(area: Blueprint) -> None:
    """The routes of Tasks, Queues, Schedules and WorkerPools."""

    @area.get(f"/projects/<project>/{ANY_KIND}")
    @requires(Permission.VIEWER)
    @describes(
        "List {kind}, in the order of their names",
        name="list_{kind}",
        parameters=[LIMIT, AFTER],
        answer=PAGE,
        problems=(502,),
    )
    def list_definitions(project: str, kind: str) -> Response:
        return jsonify(listed(services(), KINDS[kind], project))

    @area.get(f"/projects/<project>/{ANY_KIND}/<name>")
    @requires(Permission.VIEWER)
    @describes("Look at a {one}", name="get_{one}", answer=ONE, headers=("ETag",), problems=(502,))
    def get_definition(project: str, kind: str, name: str) -> tuple[Response, int]:
        return answered(actions.get(services(), KINDS[kind], project, name))

    @area.put(f"/projects/<project>/{ANY_KIND}/<name>")
    @requires(Permission.DEVELOPER)
    @describes(
        "Make a {one}, or replace its spec as a whole",
        name="put_{one}",
        parameters=[IF_MATCH, IF_NONE_MATCH],
        body=BODY,
        answer=ONE,
        status=(201, 200),
        headers=("ETag",),
        problems=(409, 412, 502),
    )
    def put_definition(project: str, kind: str, name: str) -> tuple[Response, int]:
        made, who = services(), actor()
        actions.check_put(made, who, project, name)
        wanted, seen = wanted_definition(), seen_version()
        resource, new = actions.put(made, who, KINDS[kind], project, name, wanted, seen=seen)
        return answered(resource, 201 if new else 200)

    @area.delete(f"/projects/<project>/{ANY_KIND}/<name>")
    @requires(Permission.DEVELOPER)
    @describes("Delete a {one}", name="delete_{one}", parameters=[IF_MATCH], status=204, problems=(400, 409, 412, 502))
    def delete_definition(project: str, kind: str, name: str) -> tuple[str, int]:
        actions.delete(services(), actor(), KINDS[kind], project, name, seen=seen_version())
        return "", 204

    @area.post("/projects/<project>/queues/<queue>:<any(pause, resume):act>")
    @requires(Permission.OPERATOR)
    @describes("{act} a queue", name="{act}_queue", answer=QueueDefinition, headers=("ETag",), problems=(409, 502))
    def pause_queue(project: str, queue: str, act: str) -> tuple[Response, int]:
        return answered(
            actions.change(services(), actor(), KINDS["queues"], project, queue, act, paused=act == "pause")
        )

    @area.post("/projects/<project>/schedules/<schedule>:<any(suspend, resume):act>")
    @requires(Permission.DEVELOPER)
    @describes(
        "{act} a schedule", name="{act}_schedule", answer=ScheduleDefinition, headers=("ETag",), problems=(409, 502)
    )
    def suspend_schedule(project: str, schedule: str, act: str) -> tuple[Response, int]:
        return answered(
            actions.change(services(), actor(), KINDS["schedules"], project, schedule, act, suspend=act == "suspend")
        )
