"""Users, their sessions, and the links with which they set a password."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ExternalIdentity, Member, PasswordLink, Session, User
from tidegate_web.store.rows import all_rows, row_of, row_or_none


@dataclass(frozen=True, kw_only=True)
class UserRow:
    """A user, as sign-in needs to know them."""

    id: int
    email: str
    name: str
    instance_admin: bool
    password_hash: str | None = None
    groups_due: datetime | None = None
    """Of a session's user: when the groups that give roles must have been asked for again."""
    run_columns: tuple[str, ...] | None = None
    """Of a session's user: the columns that they have chosen for the list of runs."""
    time_zone: str | None = None
    """Of a session's user: the zone of the times that they see; None for their browser's."""


@dataclass(frozen=True, kw_only=True)
class SessionUserRow:
    """Whose session it is, and what they are, by project."""

    user: UserRow
    roles: dict[str, int]


_USER = (User.id, User.email, User.name, User.instance_admin)
SHOWN = (
    *_USER, User.disabled_at, User.created, User.email_proved, User.password_hash.is_not(None).label("has_password"),
)  # fmt: skip
SESSION = (
    Session.id, Session.token_hash, Session.created, Session.last_seen, Session.expires, Session.address, Session.user_agent,
)  # fmt: skip
GROUP_SESSION = (
    Session.user_id, Session.provider, Session.refresh_token, Session.groups_due, Session.groups_tried,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A user as admins see them."""

    id: int
    email: str
    name: str
    instance_admin: bool
    disabled_at: datetime | None
    created: datetime
    email_proved: datetime | None
    has_password: bool


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A signed-in browser."""

    id: int
    token_hash: bytes
    created: datetime
    last_seen: datetime
    expires: datetime
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class GroupSessionRow:
    """A session whose groups are asked for again: by whom, with what, and when."""

    user_id: int
    provider: str
    refresh_token: bytes
    groups_due: datetime
    groups_tried: datetime | None


@dataclass(frozen=True, slots=True)
class LinkedUserRow:
    """A user whose password a link sets."""

    id: int
    email: str
    name: str
    instance_admin: bool


@dataclass(frozen=True, slots=True)
class SpentLinkRow:
    """A link that was just used. ``mailed``: it had gone out by mail alone."""

    user_id: int
    mailed: bool


def by_email(connection: Connection, email: str) -> UserRow | None:
    """A user who isn't disabled."""
    row = connection.execute(
        select(*_USER, User.password_hash).where(User.email == email.strip().lower(), User.disabled_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    user_id, email, name, admin, password_hash = row
    return UserRow(id=user_id, email=email, name=name, instance_admin=admin, password_hash=password_hash)


def create(
    connection: Connection,
    *,
    email: str,
    name: str,
    password_hash: str | None,
    instance_admin: bool,
    email_proved: datetime | None = None,
) -> int | None:
    """Create a user; its id, or None when another user has that address."""
    return connection.execute(
        pg_insert(User)
        .values(
            email=email.strip().lower(),
            name=name,
            password_hash=password_hash,
            instance_admin=instance_admin,
            email_proved=email_proved,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User.id)
    ).scalar_one_or_none()


def shown(connection: Connection, *, user_id: int) -> AccountRow | None:
    """One user as admins see them, also a disabled one."""
    return row_or_none(AccountRow, connection.execute(select(*SHOWN).where(User.id == user_id)).one_or_none())


def any_by_email(connection: Connection, email: str) -> AccountRow | None:
    """One user as admins see them, also a disabled one."""
    found = select(*SHOWN).where(User.email == email.strip().lower())
    return row_or_none(AccountRow, connection.execute(found).one_or_none())


def locked(connection: Connection, *, user_id: int) -> AccountRow:
    """One user who is there, held until the end of the transaction."""
    return row_of(AccountRow, connection.execute(select(*SHOWN).where(User.id == user_id).with_for_update()).one())


def by_identity(connection: Connection, *, provider: str, subject: str) -> AccountRow | None:
    """Whom a sign-in provider knows by this subject."""
    known = (
        select(*SHOWN)
        .join(ExternalIdentity, ExternalIdentity.user_id == User.id)
        .where(ExternalIdentity.provider == provider, ExternalIdentity.subject == subject)
    )
    return row_or_none(AccountRow, connection.execute(known).one_or_none())


def add_identity(connection: Connection, *, provider: str, subject: str, user_id: int) -> None:
    """Remember by what a provider knows a user."""
    connection.execute(
        pg_insert(ExternalIdentity)
        .values(provider=provider, subject=subject, user_id=user_id)
        .on_conflict_do_nothing(index_elements=[ExternalIdentity.provider, ExternalIdentity.subject])
    )


def other_subject(connection: Connection, *, provider: str, subject: str, user_id: int) -> bool:
    """Whether a provider knows this user by another subject."""
    found = select(ExternalIdentity.subject).where(
        ExternalIdentity.provider == provider,
        ExternalIdentity.user_id == user_id,
        ExternalIdentity.subject != subject,
    )
    return connection.execute(found.limit(1)).first() is not None


def listed(connection: Connection, *, after: int, limit: int) -> list[AccountRow]:
    """Users in the order in which they came."""
    found = select(*SHOWN).where(User.id > after).order_by(User.id).limit(limit)
    return all_rows(AccountRow, connection.execute(found))


def change(connection: Connection, *, user_id: int, values: Mapping[str, object]) -> None:
    connection.execute(update(User).where(User.id == user_id).values(**values))


def other_admins(connection: Connection, *, than: int) -> int:
    """How many admins of the installation there are beside this one. Holds them, so that two can't go at once."""
    rows = connection.execute(
        select(User.id).where(User.instance_admin.is_(True), User.disabled_at.is_(None)).with_for_update()
    )
    return sum(row.id != than for row in rows)


def set_password_hash(connection: Connection, *, user_id: int, password_hash: str) -> None:
    connection.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))


def replace_password_hash(connection: Connection, *, user_id: int, was: str, password_hash: str) -> bool:
    """Another hash in place of the one that was checked; False when that one isn't there any more."""
    statement = update(User).where(User.id == user_id, User.password_hash == was).values(password_hash=password_hash)
    return connection.execute(statement.returning(User.id)).first() is not None


def still_has(connection: Connection, *, user_id: int, password_hash: str | None) -> bool:
    """Whether a user isn't disabled and still has the password that was checked (None: none was). Holds the row, so that
    a session which is opened now is seen by the request that ends sessions."""
    statement = select(User.id).where(User.id == user_id, User.disabled_at.is_(None))
    if password_hash is not None:
        statement = statement.where(User.password_hash == password_hash)
    return connection.execute(statement.with_for_update(read=True)).first() is not None


@dataclass(frozen=True, kw_only=True)
class GroupSource:
    """Where the groups of a session's user can be asked for again, and until when that must be."""

    provider: str
    refresh_token: bytes
    due: datetime


def open_session(
    connection: Connection,
    *,
    token_hash: bytes,
    user_id: int,
    expires: datetime,
    address: str,
    user_agent: str,
    groups: GroupSource | None = None,
) -> None:
    connection.execute(
        pg_insert(Session).values(
            token_hash=token_hash,
            user_id=user_id,
            expires=expires,
            address=address,
            user_agent=user_agent[:300],
            provider=None if groups is None else groups.provider,
            refresh_token=None if groups is None else groups.refresh_token,
            groups_due=None if groups is None else groups.due,
        )
    )
    connection.execute(delete(Session).where(Session.expires < datetime.now(expires.tzinfo) - timedelta(days=1)))


def session_user(connection: Connection, *, token_hash: bytes, now: datetime, idle: timedelta) -> SessionUserRow | None:
    """Whose session this is, if it is still good; notes that it was used, at most once a minute. One statement, as each page asks."""
    roles = (
        select(func.jsonb_object_agg(Member.project, Member.role)).where(Member.user_id == User.id).scalar_subquery()
    )
    row = connection.execute(
        select(*_USER, User.run_columns, User.time_zone, Session.last_seen, Session.groups_due, roles.label("roles"))
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
    user = UserRow(
        id=row.id,
        email=row.email,
        name=row.name,
        instance_admin=row.instance_admin,
        groups_due=row.groups_due,
        run_columns=None if row.run_columns is None else tuple(row.run_columns),
        time_zone=row.time_zone,
    )
    return SessionUserRow(user=user, roles=row.roles or {})


def session_groups(connection: Connection, *, token_hash: bytes) -> GroupSessionRow | None:
    """A session whose groups are asked for again; None for any other."""
    found = select(*GROUP_SESSION).where(Session.token_hash == token_hash, Session.groups_due.is_not(None))
    row = connection.execute(found).one_or_none()
    if row is None:
        return None
    user_id, provider, refresh_token, due, tried = row
    assert provider is not None, "open_session writes the three together"
    assert refresh_token is not None
    assert due is not None
    return GroupSessionRow(user_id, provider, refresh_token, due, tried)


def change_session(connection: Connection, *, token_hash: bytes, values: Mapping[str, object]) -> None:
    connection.execute(update(Session).where(Session.token_hash == token_hash).values(**values))


def sessions(connection: Connection, *, user_id: int, now: datetime, idle: timedelta) -> list[SessionRow]:
    """The good sessions of a user, the one used last first."""
    found = (
        select(*SESSION)
        .where(Session.user_id == user_id, Session.expires > now, Session.last_seen > now - idle)
        .order_by(Session.last_seen.desc(), Session.id.desc())
    )
    return all_rows(SessionRow, connection.execute(found))


def session_hashes(connection: Connection, *, user_id: int) -> Sequence[bytes]:
    """The hashes of a user's sessions, good or not."""
    return connection.execute(select(Session.token_hash).where(Session.user_id == user_id)).scalars().all()


def close_session(connection: Connection, *, token_hash: bytes) -> None:
    connection.execute(delete(Session).where(Session.token_hash == token_hash))


def close_sessions(
    connection: Connection, *, user_id: int, session_id: int | None = None, but: bytes | None = None
) -> Sequence[bytes]:
    """End one session of a user, or all of them (but one); the hashes of those that were ended."""
    statement = delete(Session).where(Session.user_id == user_id)
    if session_id is not None:
        statement = statement.where(Session.id == session_id)
    if but is not None:
        statement = statement.where(Session.token_hash != but)
    return connection.execute(statement.returning(Session.token_hash)).scalars().all()


def add_password_link(
    connection: Connection, *, token_hash: bytes, user_id: int, expires: datetime, mailed: bool
) -> None:
    """A new link to set a password. ``mailed``: it goes out by mail alone."""
    connection.execute(
        pg_insert(PasswordLink).values(token_hash=token_hash, user_id=user_id, expires=expires, mailed=mailed)
    )


def remove_password_links(connection: Connection, *, user_id: int) -> int:
    """Make the links of a user worth nothing; how many there were."""
    removed = delete(PasswordLink).where(PasswordLink.user_id == user_id).returning(PasswordLink.user_id)
    return len(connection.execute(removed).all())


def password_link(connection: Connection, *, token_hash: bytes, now: datetime) -> LinkedUserRow | None:
    """Whose password a link sets."""
    found = (
        select(*_USER)
        .join(PasswordLink, PasswordLink.user_id == User.id)
        .where(PasswordLink.token_hash == token_hash, PasswordLink.expires > now, User.disabled_at.is_(None))
    )
    return row_or_none(LinkedUserRow, connection.execute(found).one_or_none())


def use_password_link(connection: Connection, *, token_hash: bytes, now: datetime) -> SpentLinkRow | None:
    """Spend a link, once."""
    # The user first, as everybody locks them, then the link.
    connection.execute(
        select(User.id)
        .join(PasswordLink, PasswordLink.user_id == User.id)
        .where(PasswordLink.token_hash == token_hash)
        .with_for_update(of=User)
    )
    spent = (
        delete(PasswordLink)
        .where(
            PasswordLink.token_hash == token_hash,
            PasswordLink.expires > now,
            select(func.count()).where(User.id == PasswordLink.user_id, User.disabled_at.is_(None)).scalar_subquery()
            > 0,
        )
        .returning(PasswordLink.user_id, PasswordLink.mailed)
    )
    return row_or_none(SpentLinkRow, connection.execute(spent).one_or_none())
