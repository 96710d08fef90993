"""Joining a project by a link. A link alone never takes an account over: who is a user already signs in first."""

from sqlalchemy import Connection

from tidegate_web.auth.tokens import token_hash
from tidegate_web.services import Services
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import audit, members, users
from tidegate_web.store.queries.members import InvitationRow, OpenInvitationRow
from tidegate_web.store.queries.users import UserRow


def opened(made: Services, token: str) -> OpenInvitationRow | None:
    """The invitation of a link while it is good; ``known``: whether the invited address is a user's."""
    with made.engine.connect() as connection:
        return members.invitation(connection, token_hash=token_hash(token), now=made.clock.now())


def accept(
    made: Services, token: str, *, address: str, me: UserRow | None, password_hash: str | None, name: str
) -> UserRow:
    """Join: as ``me``, who is signed in with the invited address, or as a new user with this password."""
    with made.engine.begin() as connection:
        row = members.invitation(connection, token_hash=token_hash(token), now=made.clock.now(), lock=True)
        if row is None:
            raise Problem(404, "This link is not valid any more. Ask for a new one.")
        known = users.any_by_email(connection, row.email)
        if known is None:
            if password_hash is None:
                raise Problem(422, "Choose a password.")
            users.create(
                connection,
                email=row.email,
                name=name or row.email.partition("@")[0],
                password_hash=password_hash,
                instance_admin=False,
                email_proved=made.clock.now() if row.mailed else None,
            )
            known = users.any_by_email(connection, row.email)
            assert known is not None
        elif me is None or me.id != known.id:
            raise Problem(409, f"Sign in as {known.email} first, then open the link again.")
        elif row.mailed and known.email_proved is None:
            # The user who is signed in has opened their mail. What they made before is theirs.
            users.change(connection, user_id=known.id, values={"email_proved": made.clock.now()})
        _join(made, connection, row, user_id=known.id, address=address)
    return UserRow(
        id=known.id,
        email=known.email,
        name=known.name,
        instance_admin=known.instance_admin,
        password_hash=password_hash if me is None else None,
    )


def accept_all(made: Services, connection: Connection, *, email: str, user_id: int, address: str) -> None:
    """Join what this address is invited to: its owner has come through a sign-in provider, and needs no link to prove it."""
    for row in members.invitations_of(connection, email=email, now=made.clock.now()):
        _join(made, connection, row, user_id=user_id, address=address)


def _join(made: Services, connection: Connection, row: InvitationRow, *, user_id: int, address: str) -> None:
    members.put(connection, project=row.project, user_id=user_id, role=row.role, by=row.created_by)
    members.accepted(connection, invitation_id=row.id, now=made.clock.now())
    audit.write(
        connection,
        actor=row.email,
        address=address,
        action="invitation.accept",
        outcome="done",
        project=row.project,
        target=str(row.id),
    )
