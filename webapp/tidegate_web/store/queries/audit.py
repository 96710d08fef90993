"""The audit log: append only."""

from typing import Any

from sqlalchemy import Connection, insert

from tidegate_web.store.models import Audit
from tidegate_web.store.records import clean


def write(
    connection: Connection,
    *,
    actor: str,
    address: str,
    action: str,
    outcome: str,
    project: str | None = None,
    target: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    connection.execute(
        insert(Audit).values(
            actor=clean(actor),
            address=address,
            action=action,
            outcome=outcome,
            project=project,
            target=clean(target) if target is not None else None,
            detail=clean(detail or {}),
        )
    )
