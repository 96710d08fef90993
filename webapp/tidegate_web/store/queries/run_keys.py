"""The uids of all runs, and when each was created: that no uid is there twice, and in which partition its row is."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.orm import InstrumentedAttribute

from tidegate_web.store import partitions
from tidegate_web.store.models import RunKey
from tidegate_web.store.records import RunRecord

_PROJECTS = text("""
WITH RECURSIVE next AS (
  SELECT min(project) AS project FROM run_keys
  UNION ALL
  SELECT (SELECT min(run_keys.project) FROM run_keys WHERE run_keys.project > next.project) FROM next WHERE next.project IS NOT NULL
)
SELECT project FROM next WHERE project IS NOT NULL
""")


def keep(connection: Connection, records: Sequence[RunRecord]) -> dict[str, datetime]:
    """Note the runs that are new, and see that they have a partition; when each was created, by uid."""
    values = [
        {"uid": record.uid, "project": record.project, "name": record.name, "created": record.created}
        for record in records
    ]
    statement = pg_insert(RunKey).on_conflict_do_nothing(index_elements=[RunKey.uid]).returning(RunKey.uid)
    added = set(connection.execute(statement, values).scalars())
    new = {record.uid: record.created for record in records if record.uid in added}
    if new:
        partitions.ensure(connection, new.values())
    return new | created(connection, [record.uid for record in records if record.uid not in added])


def created(connection: Connection, uids: Iterable[str]) -> dict[str, datetime]:
    """When runs were created, by uid; those that aren't stored are missing."""
    wanted = sorted(set(uids))
    if not wanted:
        return {}
    rows = connection.execute(select(RunKey.uid, RunKey.created).where(RunKey.uid.in_(wanted)))
    return {row.uid: row.created for row in rows}


def names_there(connection: Connection, *, project: str, names: Sequence[str]) -> set[str]:
    """Those of these names that a run of the project has, or had."""
    wanted = select(RunKey.name).where(RunKey.project == project, RunKey.name.in_(names)).distinct()
    return set(connection.execute(wanted).scalars()) if names else set()


def projects(connection: Connection) -> list[str]:
    """Every project that there are runs of. One look into the index for each, not one for each run."""
    return list(connection.execute(_PROJECTS).scalars())


def rows_of(
    places: dict[str, datetime],
    *,
    uid: InstrumentedAttribute[str],
    created: InstrumentedAttribute[datetime],
) -> list[ColumnElement[bool]]:
    """The condition for the rows of these runs, of which there is at least one: Postgres looks only into the partitions
    between the oldest and the newest of them."""
    times = places.values()
    return [uid.in_(sorted(places)), created >= min(times), created <= max(times)]
