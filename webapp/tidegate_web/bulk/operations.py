"""Bulk operations: accepted with the runs that they are about, looked at while they go on, ended early."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Select

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.bulk.authors import ACTIONS
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.phases import ACTIVE_PHASES
from tidegate_web.shared.problems import Problem
from tidegate_web.store.models.work import BulkAction
from tidegate_web.store.queries import bulk, run_list
from tidegate_web.store.queries.bulk import ItemProblemRow, OperationRow
from tidegate_web.store.queries.run_list import RunFilter

MOST_MATCHING = 100_000
PROBLEMS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation, how far it is, and some of the items that failed."""

    row: OperationRow
    problems: list[ItemProblemRow]


def accept(
    made: Services,
    actor: Actor,
    project: str,
    action: BulkAction,
    *,
    uids: Sequence[str] | None,
    matching: RunFilter,
    detail: Mapping[str, object],
) -> Operation:
    """Note what is to be done, to which runs as of now: those of ``uids``, else those that match."""
    require_project(made, project, to_write=True)
    role = actor.role_in(project)
    if role is None or role < ACTIONS[action]:
        raise Problem(403, f"This needs the role {ACTIONS[action].label}.")
    tasks = actor.caller.tasks
    with (
        audited(made, actor, f"run.{action}-bulk", project=project, detail=detail),
        made.engine.begin() as connection,
    ):
        number = bulk.create(
            connection,
            project=project,
            action=action,
            requested_by=actor.name,
            address=actor.address,
            tasks=None if tasks is None else sorted(tasks),
        )
        if uids is not None:
            bulk.add_uids(connection, operation=number, uids=sorted(set(uids)))
        else:
            found = _matching(actor, project, action, matching).limit(MOST_MATCHING + 1)
            if bulk.add_matching(connection, operation=number, matching=found) > MOST_MATCHING:
                raise Problem(422, f"More than {MOST_MATCHING} runs match. Narrow the filter.")
    return find(made, project, number)


def count(made: Services, actor: Actor, project: str, action: BulkAction, *, matching: RunFilter) -> int:
    """How many runs an operation over what matches would be about as of now; one above the most that it takes if more."""
    require_project(made, project)
    found = _matching(actor, project, action, matching)
    with made.engine.connect() as connection:
        return run_list.count_matching(connection, found, most=MOST_MATCHING + 1)


def find(made: Services, project: str, number: int) -> Operation:
    """How far an operation is."""
    with made.engine.connect() as connection:
        row = _row(connection, project, number)
        return Operation(row=row, problems=bulk.problems(connection, operation=number, limit=PROBLEMS_SHOWN))


def abort(made: Services, actor: Actor, project: str, number: int) -> Operation:
    """End it; what is done stays done. 409 when it has ended."""
    with made.engine.connect() as connection:
        row = _row(connection, project, number)
    role = actor.role_in(project)
    if role is None or role < ACTIONS[row.action] or not _may_abort(actor, row):
        raise Problem(403, "You may not do this.")
    with audited(made, actor, "bulk.abort", project=project, target=str(number)):
        with made.engine.begin() as connection:
            ended = bulk.abort(connection, project=project, operation=number, now=made.clock.now())
        if not ended:
            raise Problem(409, "The operation has ended already.")
    return find(made, project, number)


def _matching(actor: Actor, project: str, action: BulkAction, matching: RunFilter) -> Select[str]:
    if action == "cancel" and not matching.phases:
        matching = replace(matching, phases=ACTIVE_PHASES)
    return run_list.matching(project, matching, tasks=actor.caller.tasks)


def _row(connection: Connection, project: str, number: int) -> OperationRow:
    row = bulk.get(connection, project=project, operation=number)
    if row is None:
        raise Problem(404, "There is no such operation.")
    return row


def _may_abort(actor: Actor, operation: OperationRow) -> bool:
    """A key that is limited to some tasks ends what it began itself, and nothing of others."""
    return actor.caller.tasks is None or operation.requested_by == actor.name
