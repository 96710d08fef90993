"""The months that ``runs`` and ``log_chunks`` are kept in: one partition each of the month in which a run was created.

There is no default partition: it would take what belongs elsewhere without a word, and then stand in the way of the right
one. A process that writes a run of a month that has none creates it first; usually it was made months ahead.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Connection, text

TABLES = ("runs", "log_chunks")
AHEAD = 3
"""Months that are there before they begin."""

_LOCK = 7_140_881_003
"""Advisory lock for creating and dropping partitions."""
_DROP_PATIENCE = "2s"
_NAME = re.compile(rf"({'|'.join(TABLES)})_(\d{{4}})_(\d{{2}})")


@dataclass(frozen=True, order=True)
class Month:
    """A month, in UTC."""

    year: int
    number: int

    @classmethod
    def of(cls, time: datetime) -> Self:
        time = time.astimezone(UTC)
        return cls(time.year, time.month)

    def after(self, months: int = 1) -> "Month":
        index = self.year * 12 + self.number - 1 + months
        return Month(index // 12, index % 12 + 1)

    @property
    def begin(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The beginning of the next one."""
        return self.after().begin

    def partition_of(self, table: str) -> str:
        return f"{table}_{self.year:04}_{self.number:02}"


def is_partition(table: str) -> bool:
    """Whether this is the name of a partition, which no migration knows of."""
    return _NAME.fullmatch(table) is not None


def ensure(connection: Connection, times: Iterable[datetime]) -> None:
    """Make the partitions for runs that were created at these times, where there are none."""
    months = {Month.of(time) for time in times}
    if not _missing(connection, months):
        return
    # Another may be making them at this moment.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    for month, table in _missing(connection, months):
        _make(connection, month, table)


def ensure_ahead(connection: Connection, *, now: datetime) -> None:
    """Make those of this month and the next ones."""
    this = Month.of(now)
    ensure(connection, [this.after(number).begin for number in range(AHEAD + 1)])


def present(connection: Connection) -> list[Month]:
    """The months that have a partition of runs, oldest first."""
    found = [_NAME.fullmatch(name) for name in _partitions(connection, ["runs"])]
    return sorted(Month(int(match[2]), int(match[3])) for match in found if match is not None)


def drop(connection: Connection, month: Month, *, if_still: Callable[[], bool]) -> bool:
    """Drop a month with its logs, if it still may go once no process can write to it; whether it went.

    Readers wait meanwhile, so this gives up soon: OperationalError then, and another time will do.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = '{_DROP_PATIENCE}'"))
    for table in TABLES:
        connection.execute(text(f"LOCK TABLE {table}, {month.partition_of(table)} IN ACCESS EXCLUSIVE MODE"))
    if not if_still():
        return False
    for table in TABLES:
        connection.execute(text(f"DROP TABLE {month.partition_of(table)}"))
    return True


def _missing(connection: Connection, months: Iterable[Month]) -> list[tuple[Month, str]]:
    there = _partitions(connection, TABLES)
    wanted = [(month, table) for month in sorted(months) for table in TABLES]
    return [(month, table) for month, table in wanted if month.partition_of(table) not in there]


def _partitions(connection: Connection, tables: Sequence[str]) -> set[str]:
    # Not to_regclass: it may answer from what this connection knew before it waited for the lock.
    return set(
        connection.execute(
            text(
                "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
                " WHERE inhparent = ANY (CAST(CAST(:tables AS text[]) AS regclass[]))"
            ),
            {"tables": list(tables)},
        ).scalars()
    )


def _make(connection: Connection, month: Month, table: str) -> None:
    # Attached and not made as a partition: that would wait for every reader of the table.
    name = month.partition_of(table)
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING STORAGE)"))
    connection.execute(
        text(
            f"ALTER TABLE {table} ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{month.begin.isoformat()}') TO ('{month.end.isoformat()}')"
        )
    )
