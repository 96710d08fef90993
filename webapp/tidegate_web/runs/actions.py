"""What is done to runs: created, cancelled, suspended, resumed, replayed, rescheduled, prioritized, deleted. Routes, pages and pods call it."""

from collections.abc import Callable, Mapping
from functools import partial

from tidegate_api.job_names import job_name

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.cluster.client import jobs_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.cluster.problems import field_of_run, from_cluster
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.create import CreatedRun, create, wanted_run
from tidegate_web.runs.erase import erase
from tidegate_web.runs.lookup import find, written
from tidegate_web.runs.replay import replayed
from tidegate_web.services import Services
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.problems import Problem
from tidegate_web.store.run_rows import RunRow


def cancel(made: Services, actor: Actor, project: str, reference: str) -> RunRow:
    """Ask for a run's end; it is cancelled when the operator has seen to it."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    actor.check_task(row.task)
    with audited(made, actor, "run.cancel", project=project, target=row.name):
        return cancel_row(made, row)


def cancel_row(made: Services, row: RunRow) -> RunRow:
    """Ask for its end, and keep that; the row that it has then. 409 when there is nothing left to end."""
    return _changed(made, row, partial(made.cluster.cancel_run, row.project, row.name, uid=row.uid))


def suspend(made: Services, actor: Actor, project: str, reference: str, *, hold: bool) -> RunRow:
    """Hold a run, of one that has started the next attempt; or release it. What is so already stays so."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    actor.check_task(row.task)
    with audited(made, actor, "run.suspend" if hold else "run.resume", project=project, target=row.name):
        # Asked for whatever the row says: the mirror may not have seen yet what kubectl did.
        change = partial(made.cluster.suspend_run, row.project, row.name, uid=row.uid, suspend=hold)
        return _changed(made, row, change)


def _changed(made: Services, row: RunRow, change: Callable[[], KubeObject]) -> RunRow:
    """The row that a run has after a change of its spec; 409 when it has ended or is gone."""
    if row.phase in TERMINAL_PHASES or row.deleted_at is not None:
        raise Problem(409, "The run has ended already.")
    try:
        resource = change()
    except ClusterError as error:
        if error.is_gone:
            raise Problem(409, "The run is gone from the cluster.") from error
        raise from_cluster(error, sent=field_of_run) from error
    return written(made, resource)


def create_asked(
    made: Services, actor: Actor, project: str, body: Mapping[str, object], *, idempotency_key: str | None = None
) -> CreatedRun:
    """Make the run that a body asks for. `idempotency_key`: of the request's header."""
    require_project(made, project, to_write=True)
    wanted = wanted_run(project, body, actor=actor, header=idempotency_key)
    detail: dict[str, object] = {}
    with audited(made, actor, "run.create", project=project, target=wanted.run.name, detail=detail) as action:
        answer = create(made, project, wanted, who=actor.name, action=action)
        if not answer.new:
            detail["new"] = False
    return answer


def replay(
    made: Services,
    actor: Actor,
    project: str,
    reference: str,
    *,
    name: str | None = None,
    payload: Mapping[str, object] | None = None,
) -> CreatedRun:
    """Do the same again; the old run is left alone."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    actor.check_task(row.task)
    wanted = replayed(row, name=name, payload=payload)
    detail = {"of": row.uid, "as": wanted.run.name}
    with audited(made, actor, "run.replay", project=project, target=row.name, detail=detail) as action:
        return create(made, project, wanted, who=actor.name, action=action)


def reschedule(made: Services, actor: Actor, project: str, reference: str, *, start_after: str | None) -> RunRow:
    """Start it later, or now; 409 when it has begun."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    actor.check_task(row.task)
    with audited(made, actor, "run.reschedule", project=project, target=row.name, detail={"startAfter": start_after}):
        if row.deleted_at is not None:
            raise Problem(409, "The run is gone from the cluster.")
        try:
            resource = _reschedule(made, row, start_after)
        except ClusterError as error:
            if error.is_gone:
                raise Problem(409, "The run has changed or is gone. Look at it again.") from error
            raise from_cluster(error, sent=field_of_run) from error
    return written(made, resource)


def prioritize(made: Services, actor: Actor, project: str, reference: str, *, priority: int) -> RunRow:
    """Change its place among those that wait; of one that has started, that of its next attempt."""
    require_project(made, project, to_write=True)
    row = find(made, project, reference)
    actor.check_task(row.task)
    with audited(made, actor, "run.prioritize", project=project, target=row.name, detail={"priority": priority}):
        return _changed(
            made, row, partial(made.cluster.prioritize_run, row.project, row.name, uid=row.uid, priority=priority)
        )


def _reschedule(made: Services, row: RunRow, start_after: str | None) -> KubeObject:
    resource = made.cluster.get_run(row.project, row.name)
    if resource["metadata"]["uid"] != row.uid:
        raise Problem(409, "The run is gone from the cluster.")
    # The status names its first Job a little later than the Job is there.
    started = (resource.get("status") or {}).get("phase") != "Pending"
    if started or made.cluster.exists(f"{jobs_path(row.project)}/{job_name(row.name, row.uid, 1)}"):
        raise Problem(409, "The run has begun already.")
    return made.cluster.reschedule_run(row.project, resource, start_after=start_after)


def delete(made: Services, actor: Actor, project: str, reference: str) -> None:
    """Delete a run for good, from the cluster and from the archive."""
    row = find(made, project, reference)
    if row.deleted_at is None:
        require_project(made, project, to_write=True)
    actor.check_task(row.task)
    with audited(made, actor, "run.delete", project=project, target=row.name, detail={"uid": row.uid}):
        erase(made, row)
