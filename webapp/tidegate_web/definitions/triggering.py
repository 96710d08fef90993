"""A Schedule triggered by hand: a run of its template now, with another payload at most. What its cron does stays as it is."""

from tidegate_api.names import SCHEDULE_LABEL
from tidegate_api.run_names import triggered_name

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.cluster import definitions
from tidegate_web.cluster.definitions import KINDS
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.create import CreatedRun, RequestedRun, create
from tidegate_web.runs.new_run import NewRun, check_payload
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject, as_object, as_text
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import Problem

TRIES = 5


def triggered(schedule: KubeObject, *, payload: JsonObject | None, name: str) -> NewRun:
    """The run of a Schedule's template; with this payload, if one is given."""
    template = _template_of(schedule)
    metadata, spec = as_object(template.get("metadata")), dict(as_object(template.get("spec")))
    if payload is not None:
        check_payload(payload)
        spec["payload"] = payload
    return NewRun(
        name=name,
        labels={**_texts(metadata.get("labels")), SCHEDULE_LABEL: schedule["metadata"]["name"]},
        annotations=_texts(metadata.get("annotations")),
        spec=spec,
    )


def trigger(made: Services, actor: Actor, project: str, name: str, *, payload: JsonObject | None = None) -> CreatedRun:
    """Create its run now; two of one millisecond get names of their own."""
    schedule = schedule_to_run(made, actor, project, name)
    now = int(made.clock.now().timestamp() * 1000)
    run = triggered(schedule, payload=payload, name=triggered_name(name, now))
    with audited(made, actor, "schedule.trigger", project=project, target=name, detail={"run": run.name}) as action:
        for later in range(TRIES):
            try:
                run = triggered(schedule, payload=payload, name=triggered_name(name, now + later))
                return create(made, project, RequestedRun(run=run), who=actor.name, action=action)
            except Problem as problem:
                if problem.status != 409 or later == TRIES - 1:
                    raise
    raise AssertionError("unreachable")


def schedule_to_run(made: Services, actor: Actor, project: str, name: str) -> KubeObject:
    """A Schedule whose runs the actor may start. 404 where there is none, 403 for the task of another."""
    require_project(made, project, to_write=True)
    try:
        schedule = definitions.get(made.cluster, KINDS["schedules"], project, name) if is_dns_label(name) else None
    except ClusterError as error:
        raise from_cluster(error) from error
    if schedule is None:
        raise Problem(404, "There is no such Schedule.")
    reference = as_object(as_object(_template_of(schedule).get("spec")).get("taskRef"))
    actor.check_task(as_text(reference.get("name")))
    return schedule


def _template_of(schedule: KubeObject) -> JsonObject:
    return as_object(schedule.get("spec", {}).get("template"))


def _texts(value: object) -> dict[str, str]:
    return {key: text for key, text in as_object(value).items() if isinstance(text, str)}
