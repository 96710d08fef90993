"""Events that wait to be published. A row goes once Redis has it: published at least once, in the order of the ids."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, select

from tidegate_web.store.models import AnyRow, Outbox


def waiting(connection: Connection, *, but: Collection[str] = (), limit: int = 500) -> Sequence[AnyRow]:
    """The oldest, but for those of some projects."""
    statement = select(Outbox.id, Outbox.project, Outbox.event).order_by(Outbox.id).limit(limit)
    return connection.execute(statement.where(Outbox.project.not_in(sorted(but))) if but else statement).all()


def published(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(Outbox).where(Outbox.id.in_(ids)))
