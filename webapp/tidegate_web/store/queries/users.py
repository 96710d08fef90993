"""Users and their sessions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import Session, User


@dataclass(frozen=True, kw_only=True)
class UserRow:
    """Somebody, as sign-in needs to know them."""

    id: int
    email: str
    name: str
    instance_admin: bool
    password_hash: str | None = None


_USER = (User.id, User.email, User.name, User.instance_admin)


def by_email(connection: Connection, email: str) -> UserRow | None:
    row = connection.execute(
        select(*_USER, User.password_hash).where(User.email == email.strip().lower(), User.disabled_at.is_(None))
    ).one_or_none()
    return None if row is None else UserRow(**row._mapping)


def create(connection: Connection, *, email: str, name: str, password_hash: str, instance_admin: bool) -> bool:
    """Make a user; False when somebody has that address already."""
    result = connection.execute(
        pg_insert(User)
        .values(email=email.strip().lower(), name=name, password_hash=password_hash, instance_admin=instance_admin)
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User.id)
    )
    return result.first() is not None


def set_password_hash(connection: Connection, *, user_id: int, password_hash: str) -> None:
    connection.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))


def open_session(
    connection: Connection, *, token_hash: bytes, user_id: int, expires: datetime, address: str, user_agent: str
) -> None:
    connection.execute(
        pg_insert(Session).values(
            token_hash=token_hash, user_id=user_id, expires=expires, address=address, user_agent=user_agent[:300]
        )
    )
    connection.execute(delete(Session).where(Session.expires < datetime.now(expires.tzinfo) - timedelta(days=1)))


def session_user(connection: Connection, *, token_hash: bytes, now: datetime, idle: timedelta) -> UserRow | None:
    """Whose session this is, if it is still good; notes that it was used, at most once a minute."""
    row = connection.execute(
        select(*_USER, Session.last_seen)
        .join(Session, Session.user_id == User.id)
        .where(
            Session.token_hash == token_hash,
            Session.expires > now,
            Session.last_seen > now - idle,
            User.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    if now - row.last_seen > timedelta(minutes=1):
        connection.execute(update(Session).where(Session.token_hash == token_hash).values(last_seen=now))
    return UserRow(id=row.id, email=row.email, name=row.name, instance_admin=row.instance_admin)


def close_session(connection: Connection, *, token_hash: bytes) -> None:
    connection.execute(delete(Session).where(Session.token_hash == token_hash))
