"""What the archive really keeps for each project, beside what was counted: for what no transaction has counted, as before the counters
were there, in a month that was dropped whole, or by hand.

All of it is read from one snapshot, the counters too. Each transaction writes and counts together, so the difference of the two is
right whatever is written meanwhile, and is added without a lock.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, TextClause, text

from tidegate_web.store import partitions
from tidegate_web.store.queries import project_bytes
from tidegate_web.store.queries.project_bytes import ROW_BYTES, RUN_ROW_BYTES

_BESIDE = {
    "results": "octet_length(data)",
    "checkpoints": "octet_length(data)",
    "run_metadata": "octet_length(CAST(data AS text))",
}


def _of_runs(table: str, size: str) -> TextClause:
    return text(
        f"""
        SELECT run_keys.project, sum(found.bytes) AS bytes
        FROM (SELECT run_uid, sum({size} + {ROW_BYTES}) AS bytes FROM {table} GROUP BY run_uid) AS found
        JOIN run_keys ON run_keys.uid = found.run_uid GROUP BY run_keys.project
        """  # noqa: S608 - our own names
    )


def _statements(connection: Connection) -> Iterator[TextClause]:
    for month in partitions.present(connection):
        yield _of_runs(month.partition_of("log_chunks"), "octet_length(data)")
        yield text(
            f"SELECT project, sum(pg_column_size(spec) + pg_column_size(status) + {RUN_ROW_BYTES}) AS bytes"  # noqa: S608
            f" FROM {month.partition_of('runs')} WHERE deleted_at IS NOT NULL GROUP BY project"
        )
    for table, size in _BESIDE.items():
        yield _of_runs(table, size)
    yield text(
        f"SELECT project, sum(octet_length(spec) + {ROW_BYTES}) AS bytes FROM task_specs GROUP BY project"  # noqa: S608
    )


def drift(connection: Connection, *, go_on: Callable[[], bool]) -> dict[str, int] | None:
    """What is missing in the counters, by project, read in a transaction that sees one snapshot; None where ``go_on``, which is asked
    after each statement, says no."""
    counted = project_bytes.of_all(connection)
    found: Counter[str] = Counter()
    for statement in _statements(connection):
        found.update({row.project: int(row.bytes) for row in connection.execute(statement)})
        if not go_on():
            return None
    return {project: found[project] - counted.get(project, 0) for project in {*found, *counted}}
