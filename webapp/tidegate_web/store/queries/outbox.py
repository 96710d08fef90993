"""Events that wait to be published. A row goes once Redis has it: published at least once, in the order of the ids."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.models import Outbox
from tidegate_web.store.rows import all_rows


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event that waits."""

    id: int
    project: str
    event: JsonObject


def waiting(connection: Connection, *, but: Collection[str] = (), limit: int = 500) -> list[EventRow]:
    """The oldest, but for those of some projects."""
    statement = select(Outbox.id, Outbox.project, Outbox.event).order_by(Outbox.id).limit(limit)
    found = connection.execute(statement.where(Outbox.project.not_in(sorted(but))) if but else statement)
    return all_rows(EventRow, found)


def published(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(Outbox).where(Outbox.id.in_(ids)))
