"""Who is what in which project, and the invitations to become it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared.permissions import Role
from tidegate_web.store.models import ApiKey, Invitation, Member, User
from tidegate_web.store.queries import keys
from tidegate_web.store.rows import all_rows, row_of, row_or_none


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


INVITATION = (
    Invitation.id, Invitation.project, Invitation.email, Invitation.role, Invitation.created, Invitation.created_by,
    Invitation.expires, Invitation.mailed,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A user as a member of a project."""

    id: int
    email: str
    name: str
    disabled_at: datetime | None
    role: int
    by_group: bool
    created: datetime


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """An invitation into a project."""

    id: int
    project: str
    email: str
    role: int
    created: datetime
    created_by: str
    expires: datetime
    mailed: bool


@dataclass(frozen=True, slots=True)
class OpenInvitationRow(InvitationRow):
    """An invitation that can be accepted."""

    known: bool
    """Whether the address is a user's."""


@dataclass(frozen=True, slots=True)
class WithdrawnInvitationRow:
    """An invitation that was just taken back."""

    id: int
    email: str


def roles_of(connection: Connection, *, user_id: int) -> dict[str, int]:
    """What a user is, by project."""
    rows = connection.execute(select(Member.project, Member.role).where(Member.user_id == user_id))
    return {row.project: row.role for row in rows}


def listed(connection: Connection, *, project: str) -> list[MemberRow]:
    """The members of a project, by email."""
    found = (
        select(User.id, User.email, User.name, User.disabled_at, Member.role, Member.by_group, Member.created)
        .join(User, User.id == Member.user_id)
        .where(Member.project == project)
        .order_by(User.email)
    )
    return all_rows(MemberRow, connection.execute(found))


def put(connection: Connection, *, project: str, user_id: int, role: int, by: str, by_group: bool = False) -> None:
    """Give a user a role in a project, whether or not they had one."""
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


def invite(connection: Connection, new: NewInvitation) -> InvitationRow:
    """Write an invitation down; an open one of the same address and project is replaced."""
    connection.execute(
        delete(Invitation).where(
            Invitation.project == new.project, Invitation.email == new.email, Invitation.accepted.is_(None)
        )
    )
    added = (
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
        .returning(*INVITATION)
    )
    return row_of(InvitationRow, connection.execute(added).one())


def invitations(connection: Connection, *, project: str, now: datetime) -> list[InvitationRow]:
    """Those of a project that were not accepted and whose makers may still invite, newest first."""
    found = (
        select(*INVITATION)
        .where(Invitation.project == project, Invitation.accepted.is_(None), _maker_may_invite())
        .order_by(Invitation.id.desc())
    )
    return all_rows(InvitationRow, connection.execute(found, {"now": now}))


def invitation(
    connection: Connection, *, token_hash: bytes, now: datetime, lock: bool = False
) -> OpenInvitationRow | None:
    """The open invitation of this token."""
    known = exists().where(User.email == Invitation.email).label("known")
    statement = select(*INVITATION, known).where(Invitation.token_hash == token_hash, *_is_open())
    found = connection.execute(statement.with_for_update(of=Invitation) if lock else statement, {"now": now})
    return row_or_none(OpenInvitationRow, found.one_or_none())


def is_invited(connection: Connection, *, email: str, now: datetime) -> bool:
    """Whether there is an open invitation for this address."""
    statement = select(Invitation.id).where(Invitation.email == email, *_is_open())
    return connection.execute(statement.limit(1), {"now": now}).first() is not None


def invitations_of(connection: Connection, *, email: str, now: datetime) -> list[InvitationRow]:
    """The open invitations of an address, held until the end of the transaction."""
    found = select(*INVITATION).where(Invitation.email == email, *_is_open()).order_by(Invitation.id).with_for_update()
    return all_rows(InvitationRow, connection.execute(found, {"now": now}))


def _is_open() -> tuple[ColumnElement[bool], ...]:
    """Not accepted, not past its end at ``now``, and made by a user or key that may still invite: a member who is removed comes
    back neither under the address of mail of before nor under another one."""
    return (
        Invitation.accepted.is_(None),
        Invitation.expires > bindparam("now"),
        _maker_may_invite(),
    )


def _maker_may_invite() -> ColumnElement[bool]:
    return or_(_user_may_invite(), _key_may_invite())


def _user_may_invite() -> ColumnElement[bool]:
    admin = select(Member.user_id).where(
        Member.project == Invitation.project, Member.user_id == User.id, Member.role >= int(Role.ADMIN)
    )
    may = or_(User.instance_admin.is_(True), admin.correlate(Invitation, User).exists())
    maker = select(User.id).where(User.email == Invitation.created_by, User.disabled_at.is_(None), may)
    return maker.correlate(Invitation).exists()


def _key_may_invite() -> ColumnElement[bool]:
    maker = select(ApiKey.id).where(
        literal(keys.ACTOR_PREFIX) + ApiKey.prefix == Invitation.created_by,
        ApiKey.project == Invitation.project,
        ApiKey.role >= int(Role.ADMIN),
        *keys.may_be_used(),
    )
    return maker.correlate(Invitation).exists()


def withdraw_by(connection: Connection, *, email: str) -> int:
    """Take back the open invitations that this user made; how many there were."""
    withdrawn = delete(Invitation).where(Invitation.created_by == email, Invitation.accepted.is_(None))
    return len(connection.execute(withdrawn.returning(Invitation.id)).all())


def withdraw_to(connection: Connection, *, project: str, email: str) -> None:
    """Take back the open invitations of this address to a project."""
    connection.execute(
        delete(Invitation).where(
            Invitation.project == project, Invitation.email == email, Invitation.accepted.is_(None)
        )
    )


def accepted(connection: Connection, *, invitation_id: int, now: datetime) -> None:
    connection.execute(update(Invitation).where(Invitation.id == invitation_id).values(accepted=now))


def withdraw(connection: Connection, *, project: str, invitation_id: int) -> WithdrawnInvitationRow | None:
    """Take an invitation back; None when there is no open one."""
    gone = (
        delete(Invitation)
        .where(Invitation.project == project, Invitation.id == invitation_id, Invitation.accepted.is_(None))
        .returning(Invitation.id, Invitation.email)
    )
    return row_or_none(WithdrawnInvitationRow, connection.execute(gone).one_or_none())
