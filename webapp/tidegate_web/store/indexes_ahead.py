"""Indexes of ``runs`` that are built before the migration that makes them part of the schema, a month at a time.

An index of a partitioned table is built in one piece, and until it is there no process can write a run. Here each month gets its
own first, without a lock that a writer waits for; the migration then finds an equal index in each month and only attaches it.
"""

from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, text

from tidegate_web.store.models.runs import KEY_SQL, NEEDED_SQL, REQUESTER_SQL
from tidegate_web.store.partitions import present

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexAhead:
    """An index, and the version of the schema that has it."""

    version: str
    name: str
    parent: str
    """Of the index of the whole table, which the migration makes."""
    definition: str
    """What follows the name of the table."""


REASON: Final = IndexAhead(
    version="0015",
    name="reason",
    parent="ix_runs_project_reason_created_uid",
    definition="(project, reason, created DESC, uid DESC) WHERE reason IS NOT NULL",
)
KEY: Final = IndexAhead(
    version="0016",
    name="key",
    parent="ix_runs_project_key_created_uid",
    definition=f"(project, {KEY_SQL}, created DESC, uid DESC) WHERE {KEY_SQL} IS NOT NULL",
)
REQUESTER: Final = IndexAhead(
    version="0016",
    name="requester",
    parent="ix_runs_project_requester_created_uid",
    definition=f"(project, {REQUESTER_SQL}, created DESC, uid DESC) WHERE {REQUESTER_SQL} IS NOT NULL",
)
NEEDED: Final = IndexAhead(
    version="0016",
    name="needed",
    parent="ix_runs_needed",
    definition=f"USING gin ({NEEDED_SQL}) WHERE spec ? 'dependsOn'",
)
INDEXES: Final = (REASON, KEY, REQUESTER, NEEDED)
FIRST_WITH_MONTHS: Final = "0004"
"""An older schema has no months: its first migration to them builds all indexes anyway."""


def build(engine: Engine, *, before: str | None) -> None:
    """Build what a schema of this version lacks. One that was left half-built is built again."""
    if before is None or before < FIRST_WITH_MONTHS:
        return
    wanted = [index for index in INDEXES if index.version > before]
    if not wanted:
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        try:
            for month in present(connection):
                for index in wanted:
                    _build(connection, index, table=month.partition_of("runs"))
        finally:
            connection.execute(text("RESET statement_timeout"))


def _build(connection: Connection, index: IndexAhead, *, table: str) -> None:
    name = f"{table}_{index.name}_ahead"
    valid = connection.execute(
        text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
    ).scalar_one_or_none()
    if valid:
        return
    if valid is not None:
        connection.execute(text(f"DROP INDEX {name}"))
    log.info("building an index", table=table, index=index.name)
    connection.execute(text(f"CREATE INDEX CONCURRENTLY {name} ON {table} {index.definition}"))
