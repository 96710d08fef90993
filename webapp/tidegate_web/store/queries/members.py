"""Who is what in which project, and the invitations to become it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import AnyRow, Invitation, Member, User


@dataclass(frozen=True, kw_only=True)
class NewInvitation:
    """An invitation to be written down."""

    project: str
    email: str
    role: int
    token_hash: bytes
    created_by: str
    expires: datetime
    mailed: bool
    """Whether its link goes out by mail alone."""


def roles_of(connection: Connection, *, user_id: int) -> dict[str, int]:
    """What a user is, by project."""
    rows = connection.execute(select(Member.project, Member.role).where(Member.user_id == user_id))
    return {row.project: row.role for row in rows}


def listed(connection: Connection, *, project: str) -> list[AnyRow]:
    """The members of a project, by email."""
    return list(
        connection.execute(
            select(User.id, User.email, User.name, User.disabled_at, Member.role, Member.by_group, Member.created)
            .join(User, User.id == Member.user_id)
            .where(Member.project == project)
            .order_by(User.email)
        )
    )


def put(connection: Connection, *, project: str, user_id: int, role: int, by: str, by_group: bool = False) -> None:
    """Make somebody a member, or another kind of one."""
    statement = pg_insert(Member).values(project=project, user_id=user_id, role=role, created_by=by, by_group=by_group)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Member.project, Member.user_id],
            set_={"role": statement.excluded.role, "by_group": statement.excluded.by_group},
        )
    )


def is_member(connection: Connection, *, project: str, user_id: int) -> bool:
    """Whether a user is a member of a project; holds the membership until the end of the transaction."""
    statement = select(Member.user_id).where(Member.project == project, Member.user_id == user_id)
    return connection.execute(statement.with_for_update(read=True)).first() is not None


def remove(connection: Connection, *, project: str, user_id: int) -> bool:
    """Take a membership away; False when there was none."""
    result = connection.execute(
        delete(Member).where(Member.project == project, Member.user_id == user_id).returning(Member.user_id)
    )
    return result.first() is not None


def follow_groups(connection: Connection, *, user_id: int, roles: Mapping[str, int]) -> None:
    """Make the memberships that groups give exactly these. Those that a person gave are left alone."""
    connection.execute(delete(Member).where(Member.user_id == user_id, Member.by_group.is_(True)))
    for project, role in sorted(roles.items()):
        connection.execute(
            pg_insert(Member)
            .values(project=project, user_id=user_id, role=role, created_by="sign-in provider", by_group=True)
            .on_conflict_do_nothing(index_elements=[Member.project, Member.user_id])
        )


def invite(connection: Connection, new: NewInvitation) -> AnyRow:
    """Write an invitation down; an open one of the same address and project is replaced."""
    connection.execute(
        delete(Invitation).where(
            Invitation.project == new.project, Invitation.email == new.email, Invitation.accepted.is_(None)
        )
    )
    return connection.execute(
        pg_insert(Invitation)
        .values(
            project=new.project,
            email=new.email,
            role=new.role,
            token_hash=new.token_hash,
            created_by=new.created_by,
            expires=new.expires,
            mailed=new.mailed,
        )
        .returning(*Invitation.__table__.columns)
    ).one()


def invitations(connection: Connection, *, project: str) -> list[AnyRow]:
    """Those that nobody has accepted yet, newest first."""
    return list(
        connection.execute(
            select(*Invitation.__table__.columns)
            .where(Invitation.project == project, Invitation.accepted.is_(None))
            .order_by(Invitation.id.desc())
        )
    )


def invitation(connection: Connection, *, token_hash: bytes, now: datetime, lock: bool = False) -> AnyRow | None:
    """The open invitation of this token, and whether the address is a user's (``known``)."""
    known = exists().where(User.email == Invitation.email).label("known")
    statement = select(*Invitation.__table__.columns, known).where(
        Invitation.token_hash == token_hash, Invitation.accepted.is_(None), Invitation.expires > now
    )
    return connection.execute(statement.with_for_update(of=Invitation) if lock else statement).one_or_none()


def is_invited(connection: Connection, *, email: str, now: datetime) -> bool:
    """Whether there is an open invitation for this address."""
    statement = select(Invitation.id).where(
        Invitation.email == email, Invitation.accepted.is_(None), Invitation.expires > now
    )
    return connection.execute(statement.limit(1)).first() is not None


def invitations_of(connection: Connection, *, email: str, now: datetime) -> list[AnyRow]:
    """The open invitations of an address, held until the end of the transaction."""
    return list(
        connection.execute(
            select(*Invitation.__table__.columns)
            .where(Invitation.email == email, Invitation.accepted.is_(None), Invitation.expires > now)
            .order_by(Invitation.id)
            .with_for_update()
        )
    )


def withdraw_by(connection: Connection, *, email: str) -> int:
    """Take back the open invitations that this user made; how many there were."""
    withdrawn = delete(Invitation).where(Invitation.created_by == email, Invitation.accepted.is_(None))
    return len(connection.execute(withdrawn.returning(Invitation.id)).all())


def accepted(connection: Connection, *, invitation_id: int, now: datetime) -> None:
    connection.execute(update(Invitation).where(Invitation.id == invitation_id).values(accepted=now))


def withdraw(connection: Connection, *, project: str, invitation_id: int) -> AnyRow | None:
    """Take an invitation back; None when there is no open one."""
    return connection.execute(
        delete(Invitation)
        .where(Invitation.project == project, Invitation.id == invitation_id, Invitation.accepted.is_(None))
        .returning(Invitation.id, Invitation.email)
    ).one_or_none()
