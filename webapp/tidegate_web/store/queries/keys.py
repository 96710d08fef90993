"""API keys: written once, found by their hash, shown by their beginning."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import AnyRow, ApiKey

SHOWN = (
    ApiKey.id, ApiKey.project, ApiKey.name, ApiKey.prefix, ApiKey.role, ApiKey.tasks, ApiKey.created,
    ApiKey.created_by, ApiKey.expires, ApiKey.last_used, ApiKey.revoked,
)  # fmt: skip


def create(
    connection: Connection,
    *,
    project: str,
    name: str,
    prefix: str,
    key_hash: bytes,
    role: int,
    tasks: Sequence[str] | None,
    created_by: str,
    expires: datetime | None,
) -> AnyRow:
    return connection.execute(
        pg_insert(ApiKey)
        .values(
            project=project,
            name=name,
            prefix=prefix,
            key_hash=key_hash,
            role=role,
            tasks=None if tasks is None else list(tasks),
            created_by=created_by,
            expires=expires,
        )
        .returning(*SHOWN)
    ).one()


def listed(connection: Connection, *, project: str, prefix: str | None = None) -> list[AnyRow]:
    """The keys of a project that aren't revoked, newest first; those that begin so."""
    statement = select(*SHOWN).where(ApiKey.project == project, ApiKey.revoked.is_(None)).order_by(ApiKey.id.desc())
    if prefix is not None:
        statement = statement.where(ApiKey.prefix.startswith(prefix, autoescape=True))
    return list(connection.execute(statement))


def good(connection: Connection, *, key_hash: bytes, now: datetime) -> AnyRow | None:
    """The key of this hash, when it may be used; notes that it was, at most once a minute."""
    row = connection.execute(
        select(*SHOWN).where(
            ApiKey.key_hash == key_hash,
            ApiKey.revoked.is_(None),
            or_(ApiKey.expires.is_(None), ApiKey.expires > now),
        )
    ).one_or_none()
    if row is not None and (row.last_used is None or now - row.last_used > timedelta(minutes=1)):
        connection.execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used=now))
    return row


def revoke(connection: Connection, *, project: str, key_id: int, now: datetime) -> AnyRow | None:
    """End a key for good; None when there is no such key, or it was revoked before."""
    return connection.execute(
        update(ApiKey)
        .where(ApiKey.project == project, ApiKey.id == key_id, ApiKey.revoked.is_(None))
        .values(revoked=now)
        .returning(ApiKey.prefix, ApiKey.key_hash)
    ).one_or_none()
