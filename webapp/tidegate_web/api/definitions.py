"""Tasks, Queues and Schedules over HTTP. They live in the cluster alone: what is answered is what the apiserver says."""

from typing import NoReturn

from flask import Blueprint, Response, jsonify, request
from tidegate_api.run_json import definition_json

from tidegate_web.api import bodies
from tidegate_web.api.parameters import AFTER, IF_MATCH, IF_NONE_MATCH, LIMIT
from tidegate_web.api.response_types import Definition as DefinitionAnswer
from tidegate_web.api.response_types import Page, QueueDefinition, ScheduleDefinition, TaskDefinition
from tidegate_web.api.run_bodies import DefinitionBody, QueueBody, ScheduleBody, TaskBody
from tidegate_web.audit.audited import audited
from tidegate_web.auth.guard import actor, caller, role_here
from tidegate_web.cluster import definitions
from tidegate_web.cluster.client import ClusterError
from tidegate_web.cluster.definitions import KINDS, Definition, Kind, StaleError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import By, describes
from tidegate_web.projects.existing import require_project
from tidegate_web.projects.host_access_rules import check_definition
from tidegate_web.runs.bounds import check_bounds
from tidegate_web.runs.new_run import check_labels
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, is_dns_label, requires
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.shared.task_spec import definition_spec_shown, sees_values

ANY_KIND = "<any(tasks, queues, schedules):kind>"
ONE = By(argument="kind", types={"tasks": TaskDefinition, "queues": QueueDefinition, "schedules": ScheduleDefinition})
PAGE = By(argument="kind", types={plural: Page[one] for plural, one in ONE.types.items()})  # type: ignore[valid-type]
BODY = By(argument="kind", types={"tasks": TaskBody, "queues": QueueBody, "schedules": ScheduleBody})


def _told(resource: KubeObject) -> DefinitionAnswer:
    """One object as whoever asks may see it."""
    told = definition_json(resource)
    told["spec"] = definition_spec_shown(told["spec"], whole=sees_values(role_here(told["project"])))
    return told


def answered(resource: KubeObject, status: int = 200) -> tuple[Response, int]:
    """One object, with its version as ETag."""
    response = jsonify(_told(resource))
    response.set_etag(resource["metadata"]["resourceVersion"])
    return response, status


def refused(error: ClusterError, kind: Kind) -> NoReturn:
    """What the apiserver won't have, in its words."""
    if error.status == 404:
        raise Problem(404, f"There is no such {kind.name}.") from error
    raise from_cluster(error) from error


def check(made: Services, project: str, name: str | None = None, *, to_write: bool = False) -> None:
    """404 for what is no project or can't be a name. A key of some tasks has no say over what all runs share."""
    require_project(made, project, to_write=True)  # of a former project the cluster's objects aren't ours to show
    if name is not None and not is_dns_label(name):
        raise invalid("name", "must be a DNS label") if request.method == "PUT" else Problem(404, "Not found.")
    asks = caller()
    if to_write and (asks is None or asks.tasks is not None):
        raise Problem(403, "This key is limited to some tasks.")


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
        raise stale()
    return str(version)


def stale() -> Problem:
    return Problem(412, "It has changed since you looked at it. Look again.")


def listed(made: Services, kind: Kind, project: str) -> Page[DefinitionAnswer]:
    """A piece of the list, in the order of names, and where the next begins."""
    limit = LIMIT.asked()
    after = request.args.get("after") or None
    if after is not None and (len(after) > 4096 or not after.isascii() or not after.isprintable()):
        raise Problem(422, "'after' is not a cursor of this list")
    try:
        found = made.cluster.read_list(kind.path(project), query={"limit": limit, "continue": after})
    except ClusterError as error:
        if after is not None and error.status in (400, 410):
            raise Problem(422, "'after' is not a cursor of this list, or too old. Begin again.") from error
        refused(error, kind)
    return {
        "items": [_told(item) for item in found["items"]],
        "after": found["metadata"].get("continue") or None,
    }


def wanted_definition() -> Definition:
    """``{"spec": {…}, "labels": {…}}``, of which the apiserver checks the spec."""
    body = bodies.read(DefinitionBody)
    check_bounds(body.spec, within="spec")
    return Definition(spec=body.spec, labels=None if body.labels is None else check_labels(body.labels))


def put(made: Services, kind: Kind, project: str, name: str) -> tuple[Response, int]:
    check(made, project, name, to_write=True)
    wanted, seen = wanted_definition(), seen_version()
    with audited(made, actor(), f"{kind.name.lower()}.put", project=project, target=name):
        check_definition(made, project, kind, wanted.spec)
        try:
            resource, new = definitions.put(made.cluster, kind, project, name, wanted, who=actor().name, seen=seen)
        except StaleError as error:
            raise stale() from error
        except ClusterError as error:
            refused(error, kind)
    return answered(resource, 201 if new else 200)


def delete(made: Services, kind: Kind, project: str, name: str) -> None:
    check(made, project, name, to_write=True)
    with audited(made, actor(), f"{kind.name.lower()}.delete", project=project, target=name):
        try:
            definitions.delete(made.cluster, kind, project, name, seen=seen_version())
        except StaleError as error:
            raise stale() from error
        except ClusterError as error:
            refused(error, kind)


def change(made: Services, kind: Kind, project: str, name: str, act: str, **spec: object) -> tuple[Response, int]:
    """Pause, suspend, and take it back."""
    check(made, project, name, to_write=True)
    with audited(made, actor(), f"{kind.name.lower()}.{act}", project=project, target=name):
        try:
            resource = definitions.change(made.cluster, kind, project, name, spec, who=actor().name)
        except ClusterError as error:
            refused(error, kind)
    return answered(resource)


def add_routes(area: Blueprint) -> None:
    """The routes of Tasks, Queues and Schedules."""

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
        made = services()
        check(made, project)
        return jsonify(listed(made, KINDS[kind], project))

    @area.get(f"/projects/<project>/{ANY_KIND}/<name>")
    @requires(Permission.VIEWER)
    @describes("Look at a {one}", name="get_{one}", answer=ONE, headers=("ETag",), problems=(502,))
    def get_definition(project: str, kind: str, name: str) -> tuple[Response, int]:
        made = services()
        check(made, project, name)
        try:
            found = made.cluster.get(KINDS[kind].path(project, name))
        except ClusterError as error:
            refused(error, KINDS[kind])
        return answered(found)

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
        return put(services(), KINDS[kind], project, name)

    @area.delete(f"/projects/<project>/{ANY_KIND}/<name>")
    @requires(Permission.DEVELOPER)
    @describes("Delete a {one}", name="delete_{one}", parameters=[IF_MATCH], status=204, problems=(400, 409, 412, 502))
    def delete_definition(project: str, kind: str, name: str) -> tuple[str, int]:
        delete(services(), KINDS[kind], project, name)
        return "", 204

    @area.post("/projects/<project>/queues/<queue>:<any(pause, resume):act>")
    @requires(Permission.OPERATOR)
    @describes("{act} a queue", name="{act}_queue", answer=QueueDefinition, headers=("ETag",), problems=(409, 502))
    def pause_queue(project: str, queue: str, act: str) -> tuple[Response, int]:
        return change(services(), KINDS["queues"], project, queue, act, paused=act == "pause")

    @area.post("/projects/<project>/schedules/<schedule>:<any(suspend, resume):act>")
    @requires(Permission.DEVELOPER)
    @describes(
        "{act} a schedule", name="{act}_schedule", answer=ScheduleDefinition, headers=("ETag",), problems=(409, 502)
    )
    def suspend_schedule(project: str, schedule: str, act: str) -> tuple[Response, int]:
        return change(services(), KINDS["schedules"], project, schedule, act, suspend=act == "suspend")
