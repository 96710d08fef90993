"""Children: runs that a run creates, looks at, cancels and reads, by the token of its pod.

Which runs are its own: they name it as ``parentRun``, were created here in its name, and not before it was there, as names are used
again. A run may also look at a run that one of its idempotency keys has met, also of another author: the meeting is noted when it
happens. All others are refused alike, so that nothing is learned of runs by guessing.
"""

from dataclasses import replace

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.auth.run_identity import RunIdentity
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.projects.existing import require_project
from tidegate_web.runs.actions import cancel_row
from tidegate_web.runs.create import create, wanted_run
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import met_runs, run_list, runs
from tidegate_web.store.queries.run_list import Page
from tidegate_web.store.run_rows import RunRow, RunStatusRow


def create_child(made: Services, actor: Actor, parent: RunIdentity, body: JsonObject) -> RunRow:
    """A run of the same project, created with an operator's rights; whose child it is, isn't the body's to say."""
    require_project(made, parent.project, to_write=True)
    wanted = wanted_run(parent.project, body, actor=actor)
    spec = wanted.run.spec | {"parentRun": parent.run_name}
    wanted = replace(wanted, run=replace(wanted.run, spec=spec))
    with audited(made, actor, "run.create", project=parent.project, target=wanted.run.name) as action:
        answer = create(made, parent.project, wanted, who=actor.name, action=action)
    if not answer.new:
        with made.engine.begin() as connection:
            met_runs.keep(connection, run_uid=parent.run_uid, met_uid=answer.row.uid, now=made.clock.now())
    return answer.row


def children(made: Services, parent: RunIdentity, *, limit: int, after: str | None) -> Page[RunStatusRow]:
    """A piece of the list of a run's children, newest first."""
    try:
        with made.engine.connect() as connection:
            # A name means its newest run: the children of an older one of this name aren't ours.
            row = runs.find(connection, project=parent.project, reference=parent.run_uid)
            return run_list.children(
                connection,
                project=parent.project,
                parent=parent.run_name,
                since=None if row is None else row.created,
                limit=limit,
                after=after,
            )
    except run_list.BadCursorError as error:
        raise Problem(422, str(error)) from error


def own_or_met(made: Services, actor: Actor, parent: RunIdentity, uid: str) -> RunRow:
    """A child, or a run of the project that a key of this run has met; 403 for everything else."""

    def has_met() -> bool:
        with made.engine.connect() as connection:
            return met_runs.has_met(connection, run_uid=parent.run_uid, met_uid=uid)

    if runs.is_uid(uid) and with_fallback(has_met, lambda: False):
        row = _look(made, parent.project, uid)
        if row is not None:
            return row
    return own_child(made, actor, parent, uid)


def own_child(made: Services, actor: Actor, parent: RunIdentity, uid: str) -> RunRow:
    """The child of that uid; 403 for everything else."""
    row = _look(made, parent.project, uid) if runs.is_uid(uid) else None
    if row is not None and row.parent_run == parent.run_name:
        # The archive knows who created it; what the mirror found while Postgres was away has the cluster's word alone.
        by_us = (row.submitted_by or row.requested_by) == actor.name
        found = _look(made, parent.project, parent.run_uid) if by_us else None
        if found is not None and row.created >= found.created:
            return row
    raise Problem(403, "This token opens the children of its own run alone, and that is none.")


def cancel_child(made: Services, actor: Actor, parent: RunIdentity, uid: str) -> RunRow:
    """Ask for the end of a child; the row that it has then."""
    require_project(made, parent.project, to_write=True)
    row = own_child(made, actor, parent, uid)
    with audited(made, actor, "run.cancel", project=parent.project, target=row.name):
        return cancel_row(made, row)


def _look(made: Services, project: str, uid: str) -> RunRow | None:
    """A run as the archive has it, else as the cluster has."""

    def stored() -> RunRow | None:
        with made.engine.connect() as connection:
            return runs.find(connection, project=project, reference=uid)

    try:
        return with_fallback(stored, lambda: None) or made.runs.in_cluster.one(project, uid)
    except ClusterError as error:
        raise from_cluster(error) from error
