"""What a run takes once it is gone from the cluster: then it is counted for its project, and what is large in it isn't kept
where the project has no room.

A run that is in the cluster isn't counted: its cluster holds it as well, and deletes it after a time. So neither the creation of a run
nor its changes have to count.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Integer, cast, func, select, text

from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.store.models import Run
from tidegate_web.store.queries import project_bytes, run_keys
from tidegate_web.store.records import NOT_STORED
from tidegate_web.store.rows import all_rows

SMALL_BYTES: Final = 1024
"""A field of this size is kept in any case."""
SIZE: Final[ColumnElement[int]] = cast(
    func.pg_column_size(Run.spec) + func.pg_column_size(Run.status) + project_bytes.RUN_ROW_BYTES, Integer
)
"""What the row of an archived run counts for: as Postgres has compressed it."""

_CUT: Final = """(
  SELECT coalesce(jsonb_object_agg(key, CASE WHEN octet_length(CAST(value AS text)) > :small THEN CAST(:marker AS jsonb) ELSE value END), '{}')
  FROM jsonb_each(runs.%s))"""
_CUT_RUNS: Final = text(
    f"UPDATE runs SET spec = {_CUT % 'spec'}, status = {_CUT % 'status'}"  # noqa: S608 - our own names
    " WHERE uid = ANY (CAST(:uids AS uuid[])) AND created BETWEEN :first AND :last"
)


@dataclass(frozen=True, slots=True)
class _SizeRow:
    uid: str
    project: str
    bytes: int


def count(connection: Connection, *, uids: Sequence[str], bound: ArchiveBound) -> None:
    """Count runs that this transaction has archived. Where there is no room, their large fields are replaced by a mark."""
    places = run_keys.created(connection, uids)
    if not places:
        return
    rows = _sizes(connection, places)
    projects = {row.project for row in rows}
    used = project_bytes.used(connection, projects) if bound.most else dict.fromkeys(projects, 0)
    grown: Counter[str] = Counter()
    full = {}
    for row in rows:
        if bound.fits(row.bytes, used=used[row.project] + grown[row.project]):
            grown[row.project] += row.bytes
        else:
            full[row.uid] = places[row.uid]
    if full:
        times = full.values()
        values = {"uids": sorted(full), "first": min(times), "last": max(times)}
        marker = {"marker": json.dumps({NOT_STORED: bound.why_not_stored}), "small": SMALL_BYTES}
        connection.execute(_CUT_RUNS, values | marker)
        for row in _sizes(connection, full):
            grown[row.project] += row.bytes
    project_bytes.add(connection, grown)


def _sizes(connection: Connection, places: dict[str, datetime]) -> list[_SizeRow]:
    wanted = run_keys.rows_of(places, uid=Run.uid, created=Run.created)
    archived = select(Run.uid, Run.project, SIZE.label("bytes")).where(*wanted, Run.deleted_at.is_not(None))
    return all_rows(_SizeRow, connection.execute(archived))
