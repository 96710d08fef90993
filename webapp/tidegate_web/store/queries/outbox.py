"""Events that wait to be published. A row goes once Redis has it: published at least once, in the order of the ids."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from tidegate_web.store.models import AnyRow, Outbox


def waiting(connection: Connection, *, limit: int = 500) -> Sequence[AnyRow]:
    return connection.execute(select(Outbox.id, Outbox.project, Outbox.event).order_by(Outbox.id).limit(limit)).all()


def published(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(Outbox).where(Outbox.id.in_(ids)))
