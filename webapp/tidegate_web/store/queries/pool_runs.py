"""Active runs that workers of a pool have, by the pod of the worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Text, func, literal_column, select

from tidegate_web.store.models import Run

LOOKED_AT: Final = 5_000
"""Begun runs of a project that are looked at: the pool is in the status, which has to be read for it."""
BEGUN: Final = ("Starting", "Running")
"""Phases in which a worker may have the run. In the others its last attempt has ended, or there is none."""
_NAME_CHARACTERS: Final = 253


@dataclass(frozen=True, slots=True)
class WorkerRunRow:
    """A run, and the pod of the worker that has it."""

    uid: str
    name: str
    pod: str


@dataclass(frozen=True, kw_only=True)
class WorkerRuns:
    """The runs, oldest first; ``truncated`` where not all begun runs of the project were looked at."""

    rows: Sequence[WorkerRunRow]
    truncated: bool


def of_pool(connection: Connection, *, project: str, pool: str) -> WorkerRuns:
    """The runs whose last attempt is in the pool. One look at the index of active runs, which ends at ``LOOKED_AT``."""
    begun = (
        select(
            Run.uid,
            Run.name,
            Run.created,
            _of_last_attempt("podName").label("pod"),
            _of_last_attempt("pool").label("pool"),
        )
        .where(Run.project == project, Run.phase.in_(BEGUN))
        .limit(LOOKED_AT)
        .cte("begun")
    )
    looked_at = select(func.count().label("looked_at")).select_from(begun).subquery("looked_at")
    # How many were looked at is said even where none of them is in the pool.
    statement = (
        select(looked_at.c.looked_at, begun.c.uid, begun.c.name, begun.c.pod)
        .select_from(looked_at.outerjoin(begun, (begun.c.pool == pool) & begun.c.pod.is_not(None)))
        .order_by(begun.c.created, begun.c.uid)
    )
    found = connection.execute(statement).all()
    rows = [WorkerRunRow(row.uid, row.name, row.pod) for row in found if row.uid is not None]
    return WorkerRuns(rows=rows, truncated=found[0].looked_at >= LOOKED_AT)


def _of_last_attempt(field: str) -> ColumnElement[str | None]:
    value = Run.status.op("#>>", return_type=Text())(literal_column(f"'{{attempts,-1,{field}}}'"))
    return func.left(value, _NAME_CHARACTERS, type_=Text())
