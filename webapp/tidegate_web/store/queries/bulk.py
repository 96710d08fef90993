"""Bulk operations: what they are about is fixed when they are accepted, and each item is noted as it is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, Select, cast, delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from tidegate_web.store.models import BulkItem, BulkOperation, Uid
from tidegate_web.store.models.work import BulkAction
from tidegate_web.store.rows import all_rows, row_or_none

OPERATION = (
    BulkOperation.id, BulkOperation.project, BulkOperation.action, BulkOperation.requested_by, BulkOperation.address,
    BulkOperation.tasks, BulkOperation.total, BulkOperation.done, BulkOperation.failed, BulkOperation.created,
    BulkOperation.finished, BulkOperation.aborted,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OperationRow:
    """A bulk operation, and how far it is."""

    id: int
    project: str
    action: BulkAction
    requested_by: str
    address: str
    tasks: list[str] | None
    total: int
    done: int
    failed: int
    created: datetime
    finished: datetime | None
    aborted: bool


@dataclass(frozen=True, slots=True)
class ItemProblemRow:
    """An item that failed, and why."""

    uid: str
    problem: str | None


def create(connection: Connection, **values: object) -> int:
    """An operation without items yet; it isn't visible before the transaction ends."""
    return connection.execute(insert(BulkOperation).values(**values).returning(BulkOperation.id)).scalar_one()


def add_uids(connection: Connection, *, operation: int, uids: Sequence[str]) -> int:
    """These are its items."""
    return _add(connection, operation, select(func.unnest(cast(list(uids), ARRAY(Uid)))))


def add_matching(connection: Connection, *, operation: int, matching: Select[str]) -> int:
    """What a query finds now are its items."""
    return _add(connection, operation, matching)


def _add(connection: Connection, operation: int, uids: Select[str]) -> int:
    found = uids.subquery()
    rows = select(cast(literal(operation), BigInteger), *found.c)
    total = connection.execute(
        insert(BulkItem).from_select(["operation_id", "uid"], rows), execution_options={"preserve_rowcount": True}
    ).rowcount
    connection.execute(update(BulkOperation).where(BulkOperation.id == operation).values(total=total))
    return total


def get(connection: Connection, *, project: str, operation: int) -> OperationRow | None:
    found = select(*OPERATION).where(BulkOperation.project == project, BulkOperation.id == operation)
    return row_or_none(OperationRow, connection.execute(found).one_or_none())


def problems(connection: Connection, *, operation: int, limit: int) -> list[ItemProblemRow]:
    """Some of the items that failed, and why."""
    failed = (
        select(BulkItem.uid, BulkItem.problem)
        .where(BulkItem.operation_id == operation, BulkItem.problem.is_not(None))
        .order_by(BulkItem.uid)
        .limit(limit)
    )
    return all_rows(ItemProblemRow, connection.execute(failed))


def claim(connection: Connection, *, worker: str, now: datetime, silent_since: datetime) -> OperationRow | None:
    """An operation that goes on and is this worker's, or free, or of one that has been silent; the one that was
    worked at least lately, so that one that must wait holds up no other."""
    free = or_(
        BulkOperation.worker == worker,
        BulkOperation.worker.is_(None),
        BulkOperation.heard <= silent_since,
    )
    oldest = (
        select(BulkOperation.id)
        .where(BulkOperation.finished.is_(None), free)
        .order_by(BulkOperation.heard.asc().nulls_first(), BulkOperation.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    claimed = (
        update(BulkOperation).where(BulkOperation.id == oldest).values(worker=worker, heard=now).returning(*OPERATION)
    )
    return row_or_none(OperationRow, connection.execute(claimed).one_or_none())


def give_back(connection: Connection, *, worker: str) -> None:
    """The worker ends: others need not wait until it has been silent for long."""
    connection.execute(
        update(BulkOperation)
        .where(BulkOperation.worker == worker, BulkOperation.finished.is_(None))
        .values(worker=None)
    )


def left(connection: Connection, *, operation: int, limit: int) -> list[str]:
    """Items that aren't done."""
    return list(
        connection.execute(
            select(BulkItem.uid)
            .where(BulkItem.operation_id == operation, BulkItem.done.is_(False))
            .order_by(BulkItem.uid)
            .limit(limit)
        ).scalars()
    )


def note(connection: Connection, *, operation: int, problems: Mapping[str, str | None], now: datetime) -> None:
    """These items are done, or failed for good; the operation ends with its last."""
    new = 0
    for uid, problem in sorted(problems.items()):
        new += connection.execute(
            update(BulkItem)
            .where(BulkItem.operation_id == operation, BulkItem.uid == uid, BulkItem.done.is_(False))
            .values(done=True, problem=problem)
        ).rowcount
    of_it = BulkItem.operation_id == operation
    failed = select(func.count()).where(of_it, BulkItem.problem.is_not(None)).scalar_subquery()
    rest = select(BulkItem.uid).where(of_it, BulkItem.done.is_(False)).exists()
    connection.execute(
        update(BulkOperation)
        .where(BulkOperation.id == operation)
        .values(done=BulkOperation.done + new, failed=failed, heard=now)
    )
    connection.execute(
        update(BulkOperation)
        .where(BulkOperation.id == operation, BulkOperation.finished.is_(None), ~rest)
        .values(finished=now)
    )


def abort(connection: Connection, *, project: str, operation: int, now: datetime) -> bool:
    """End it before its end; False when it had ended."""
    done = connection.execute(
        update(BulkOperation)
        .where(BulkOperation.project == project, BulkOperation.id == operation, BulkOperation.finished.is_(None))
        .values(finished=now, aborted=True)
    )
    return done.rowcount == 1


def forget(connection: Connection, *, before: datetime) -> None:
    """Drop operations that ended before a time."""
    connection.execute(delete(BulkOperation).where(BulkOperation.finished <= before))
