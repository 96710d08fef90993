"""Runs by what they are to each other: dependencies, dependents, children."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Text, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, distinct_on

from tidegate_web.store.models import Run, RunKey
from tidegate_web.store.rows import WideSelect, all_rows

NEEDED = func.jsonb_path_query_array(Run.spec, literal_column("'$.dependsOn[*].name'"), type_=JSONB())
"""The names that a run depends on, as its index has them (``NEEDED_SQL``)."""


@dataclass(frozen=True, slots=True)
class GraphRow:
    """A run in a graph."""

    uid: str
    name: str
    created: datetime
    phase: str
    task: str | None
    parent_run: str | None
    started_at: datetime | None
    finished_at: datetime | None
    depends_on: list[str]


PLAIN = (Run.uid, Run.name, Run.created, Run.phase, Run.task, Run.parent_run, Run.started_at, Run.finished_at)
COLUMNS = (*PLAIN, NEEDED)


def named(connection: Connection, *, project: str, names: Collection[str], until: datetime) -> list[GraphRow]:
    """The newest run of each name that was created until then."""
    latest = (
        select(RunKey.uid, RunKey.created)
        .where(RunKey.project == project, RunKey.name.in_(names), RunKey.created <= until)
        .ext(distinct_on(RunKey.name))
        .order_by(RunKey.name, RunKey.created.desc())
    )
    places = [(uid, created) for uid, created in connection.execute(latest)]
    if not places:
        return []
    times = [created for _, created in places]
    # For Postgres to look into these months alone.
    span = (Run.created >= min(times), Run.created <= max(times))
    return _rows(connection, select(*COLUMNS).where(tuple_(Run.uid, Run.created).in_(places), *span))


def dependents(connection: Connection, *, project: str, names: Collection[str], limit: int) -> list[GraphRow]:
    """Runs that name one of these in ``dependsOn``, oldest first."""
    needs = NEEDED.op("?|")(cast(list(names), ARRAY(Text)))
    found = select(*COLUMNS).where(Run.project == project, Run.spec.has_key("dependsOn"), needs)
    return _rows(connection, found.order_by(Run.created, Run.uid).limit(limit))


def children(
    connection: Connection, *, project: str, parents: Collection[str], since: datetime, until: datetime, limit: int
) -> list[GraphRow]:
    """The runs that these have started in a time, oldest first."""
    made = (Run.project == project, Run.parent_run.in_(parents), Run.created >= since, Run.created <= until)
    return _rows(connection, select(*COLUMNS).where(*made).order_by(Run.created, Run.uid).limit(limit))


def _rows(connection: Connection, statement: WideSelect) -> list[GraphRow]:
    return all_rows(GraphRow, connection.execute(statement))
