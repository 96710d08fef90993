"""API keys: written once, found by their hash, shown by their beginning."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    and_,
    any_,
    bindparam,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ApiKey, Member, User
from tidegate_web.store.rows import all_rows, row_of, row_or_none

ACTOR_PREFIX = "api-key:"
"""What the name of a key as an actor begins with; the beginning of the key follows."""
SHOWN = (
    ApiKey.id, ApiKey.project, ApiKey.name, ApiKey.prefix, ApiKey.role, ApiKey.tasks, ApiKey.created,
    ApiKey.created_by, ApiKey.expires, ApiKey.last_used, ApiKey.revoked,
)  # fmt: skip
GOOD = (
    ApiKey.id, ApiKey.key_hash, ApiKey.project, ApiKey.prefix, ApiKey.role, ApiKey.tasks, ApiKey.last_used,
    ApiKey.owner_id, ApiKey.expires,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key as people see it."""

    id: int
    project: str
    name: str
    prefix: str
    role: int
    tasks: list[str] | None
    created: datetime
    created_by: str
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class ListedKeyRow(KeyRow):
    """A key in its project's list."""

    active: bool
    """Whether it may be used."""


@dataclass(frozen=True, slots=True)
class OwnedKeyRow(KeyRow):
    """A key that a user answers for, with its hash."""

    key_hash: bytes


@dataclass(frozen=True, slots=True)
class GoodKeyRow:
    """A key that may be used: what a request of it needs."""

    id: int
    key_hash: bytes
    project: str
    prefix: str
    role: int
    tasks: list[str] | None
    last_used: datetime | None
    owner_id: int | None
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class KeyRightsRow:
    """What a key may do in its project."""

    role: int
    tasks: list[str] | None


@dataclass(frozen=True, slots=True)
class RevokedKeyRow:
    """A key that was just ended."""

    project: str
    prefix: str
    key_hash: bytes


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
    owner_id: int | None,
    expires: datetime | None,
) -> KeyRow:
    added = (
        pg_insert(ApiKey)
        .values(
            project=project,
            name=name,
            prefix=prefix,
            key_hash=key_hash,
            role=role,
            tasks=None if tasks is None else list(tasks),
            created_by=created_by,
            owner_id=owner_id,
            expires=expires,
        )
        .returning(*SHOWN)
    )
    return row_of(KeyRow, connection.execute(added).one())


def listed(connection: Connection, *, project: str, now: datetime, prefix: str | None = None) -> list[ListedKeyRow]:
    """The keys of a project that aren't revoked, newest first; those that begin so."""
    active = and_(*may_be_used()).label("active")
    statement = select(*SHOWN, active).where(ApiKey.project == project, ApiKey.revoked.is_(None))
    if prefix is not None:
        statement = statement.where(ApiKey.prefix.startswith(prefix, autoescape=True))
    return all_rows(ListedKeyRow, connection.execute(statement.order_by(ApiKey.id.desc()), {"now": now}))


def good(connection: Connection, *, key_hashes: Collection[bytes], now: datetime) -> dict[bytes, GoodKeyRow]:
    """Those of these hashes' keys that may be used, by hash; notes that they were, at most once a minute."""
    rows = all_rows(GoodKeyRow, connection.execute(_good(), {"key_hashes": list(key_hashes), "now": now}))
    before = now - timedelta(minutes=1)
    seen = [row.id for row in rows if row.last_used is None or row.last_used < before]
    if seen:
        unseen = or_(ApiKey.last_used.is_(None), ApiKey.last_used < before)  # by others at this moment
        connection.execute(update(ApiKey).where(ApiKey.id.in_(seen), unseen).values(last_used=now))
    return {row.key_hash: row for row in rows}


@cache
def _good() -> Select[int, bytes, str, str, int, list[str] | None, datetime | None, int | None, datetime | None]:
    """Made once: every request of a pipeline asks it."""
    return select(*GOOD).where(
        ApiKey.key_hash == any_(bindparam("key_hashes", type_=ARRAY(LargeBinary))), *may_be_used()
    )


def may_be_used() -> tuple[ColumnElement[bool], ...]:
    """Neither revoked, nor past its end at ``now``, nor more than its owner is now in the project."""
    return (
        ApiKey.revoked.is_(None),
        or_(ApiKey.expires.is_(None), ApiKey.expires > bindparam("now")),
        or_(ApiKey.owner_id.is_(None), _owner_may()),
    )


def _owner_may() -> ColumnElement[bool]:
    """Whether the user who answers for a key is not disabled and has its role: as a member, or as an instance admin."""
    member = select(Member.user_id).where(
        Member.project == ApiKey.project, Member.user_id == ApiKey.owner_id, Member.role >= ApiKey.role
    )
    owner = select(User.id).where(
        User.id == ApiKey.owner_id,
        User.disabled_at.is_(None),
        or_(User.instance_admin.is_(True), member.correlate(ApiKey).exists()),
    )
    return owner.correlate(ApiKey).exists()


def usable(connection: Connection, *, project: str, prefix: str, now: datetime) -> KeyRightsRow | None:
    """The key of this beginning, where it may be used."""
    found = select(ApiKey.role, ApiKey.tasks).where(ApiKey.project == project, ApiKey.prefix == prefix, *may_be_used())
    return row_or_none(KeyRightsRow, connection.execute(found, {"now": now}).first())


def revoke(connection: Connection, *, project: str, key_id: int, now: datetime) -> RevokedKeyRow | None:
    """End a key for good; None when there is no such key, or it was revoked before."""
    ended = (
        update(ApiKey)
        .where(ApiKey.project == project, ApiKey.id == key_id, ApiKey.revoked.is_(None))
        .values(revoked=now)
        .returning(ApiKey.project, ApiKey.prefix, ApiKey.key_hash)
    )
    return row_or_none(RevokedKeyRow, connection.execute(ended).one_or_none())


def owned(connection: Connection, *, owner_id: int, lock: bool = False) -> list[OwnedKeyRow]:
    """The keys that a user answers for and that aren't revoked, newest first."""
    statement = (
        select(*SHOWN, ApiKey.key_hash)
        .where(ApiKey.owner_id == owner_id, ApiKey.revoked.is_(None))
        .order_by(ApiKey.id.desc())
    )
    return all_rows(OwnedKeyRow, connection.execute(statement.with_for_update() if lock else statement))


def owned_hashes(connection: Connection, *, owner_id: int) -> Sequence[bytes]:
    """The hashes of the keys that a user answers for and that aren't revoked."""
    found = select(ApiKey.key_hash).where(ApiKey.owner_id == owner_id, ApiKey.revoked.is_(None))
    return connection.execute(found).scalars().all()


def hand_over(connection: Connection, *, owner_id: int, to: int) -> None:
    """Have another user answer for the keys of a user."""
    connection.execute(update(ApiKey).where(ApiKey.owner_id == owner_id, ApiKey.revoked.is_(None)).values(owner_id=to))


def take_over(connection: Connection, *, project: str, key_id: int, owner_id: int | None) -> KeyRow | None:
    """Have another user answer for a key that isn't revoked; None when there is no such key."""
    taken = (
        update(ApiKey)
        .where(ApiKey.project == project, ApiKey.id == key_id, ApiKey.revoked.is_(None))
        .values(owner_id=owner_id)
        .returning(*SHOWN)
    )
    return row_or_none(KeyRow, connection.execute(taken).one_or_none())


def revoke_owned(connection: Connection, *, owner_id: int, now: datetime) -> list[RevokedKeyRow]:
    """End all keys that a user answers for; those that were ended."""
    ended = (
        update(ApiKey)
        .where(ApiKey.owner_id == owner_id, ApiKey.revoked.is_(None))
        .values(revoked=now)
        .returning(ApiKey.project, ApiKey.prefix, ApiKey.key_hash)
    )
    return all_rows(RevokedKeyRow, connection.execute(ended))
