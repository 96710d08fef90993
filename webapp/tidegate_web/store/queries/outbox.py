"""Events that wait to be published. A row goes once Redis has it: published at least once, in the order of the ids."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

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


def depth(connection: Connection, *, most: int = 100_000) -> tuple[int, float]:
    """How many wait, counted up to ``most``, and the age of the oldest in seconds."""
    some = select(Outbox.id).limit(most).subquery()
    events = connection.execute(select(func.count()).select_from(some)).scalar_one()
    age = func.extract("epoch", func.now() - Outbox.created)
    oldest = connection.execute(select(age).order_by(Outbox.id).limit(1)).scalar_one_or_none()
    return events, max(0.0, float(oldest or 0.0))


def published(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(Outbox).where(Outbox.id.in_(ids)))
