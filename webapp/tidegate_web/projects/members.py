"""Members of a project: given another role, removed, invited."""

from datetime import timedelta

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.auth.changed_rights import tokens_of
from tidegate_web.auth.links import Sent, hand_over, invitation_mail, invitation_page
from tidegate_web.auth.tokens import new_token, token_hash
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import members, users
from tidegate_web.store.queries.members import InvitationRow, MemberRow


def listed(made: Services, project: str) -> list[MemberRow]:
    """The members of a project, by email."""
    with made.engine.connect() as connection:
        return members.listed(connection, project=project)


def invitations(made: Services, project: str) -> list[InvitationRow]:
    """Its open invitations, newest first."""
    with made.engine.connect() as connection:
        return members.invitations(connection, project=project, now=made.clock.now())


def listed_with_invitations(made: Services, project: str) -> tuple[list[MemberRow], list[InvitationRow]]:
    """The members and the open invitations of a project, as its page shows them."""
    with made.engine.connect() as connection:
        return members.listed(connection, project=project), members.invitations(
            connection, project=project, now=made.clock.now()
        )


def put(made: Services, actor: Actor, project: str, user_id: int, role: Role) -> MemberRow:
    """Give a member another role. An admin of the installation, who sees all users, makes any of them a member so; others invite
    by address, since the answer has a user's address and name."""
    require_project(made, project, to_write=True)
    actor.check_lasting("give a role")
    with audited(made, actor, "member.put", project=project, target=str(user_id), detail={"role": role.label}):
        with made.engine.begin() as connection:
            if not actor.caller.instance_admin and not members.is_member(connection, project=project, user_id=user_id):
                raise Problem(404, "There is no such member. Invite people by their address.")
            user = users.shown(connection, user_id=user_id)
            if user is None:
                raise Problem(404, "There is no such user.")
            members.put(connection, project=project, user_id=user_id, role=int(role), by=actor.name)
            members.withdraw_to(connection, project=project, email=user.email)
            changed = tokens_of(connection, user_id=user_id)
            row = next(member for member in members.listed(connection, project=project) if member.id == user_id)
        made.auth.callers.forget(*changed)
        return row


def remove(made: Services, actor: Actor, project: str, user_id: int) -> None:
    """Take a membership away, and with it the invitations by which the user could come back."""
    with audited(made, actor, "member.remove", project=project, target=str(user_id)):
        with made.engine.begin() as connection:
            user = users.shown(connection, user_id=user_id)
            if user is None or not members.remove(connection, project=project, user_id=user_id):
                raise Problem(404, "There is no such member.")
            members.withdraw_to(connection, project=project, email=user.email)
            changed = tokens_of(connection, user_id=user_id)
        made.auth.callers.forget(*changed)


def leave(made: Services, actor: Actor, project: str) -> None:
    """End one's own membership."""
    if actor.caller.user is None:
        raise Problem(403, "A key is no member. Revoke it instead.")
    remove(made, actor, project, actor.user.id)


def invite(
    made: Services, actor: Actor, project: str, *, email: str, role: Role, base: str
) -> tuple[InvitationRow, Sent]:
    """Invite an address, which need not be a user's yet. ``base``: how the link begins."""
    require_project(made, project, to_write=True)
    actor.check_lasting("invite a user")
    token = new_token()
    with audited(made, actor, "invitation.create", project=project, target=email, detail={"role": role.label}):
        wanted = members.NewInvitation(
            project=project,
            email=email,
            role=int(role),
            token_hash=token_hash(token),
            created_by=actor.name,
            expires=made.clock.now() + timedelta(seconds=made.settings.link_seconds),
            mailed=made.auth.mailer.configured,
        )
        with made.engine.begin() as connection:
            row = members.invite(connection, wanted)
        link = invitation_page(base, token)
        subject, text = invitation_mail(link, project=project, role=role.label, by=actor.name)
        may_see = actor.caller.instance_admin
        return row, hand_over(made, to=email, subject=subject, text=text, link=link, may_see=may_see)


def withdraw(made: Services, actor: Actor, project: str, invitation_id: int) -> None:
    """Take an invitation back."""
    with (
        audited(made, actor, "invitation.withdraw", project=project, target=str(invitation_id)),
        made.engine.begin() as connection,
    ):
        if members.withdraw(connection, project=project, invitation_id=invitation_id) is None:
            raise Problem(404, "There is no such invitation.")
