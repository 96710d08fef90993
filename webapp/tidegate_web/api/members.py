"""Members of a project over HTTP, and invitations to become one."""

from datetime import timedelta

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import MemberChange, NewInvitation
from tidegate_web.api.response_types import Items
from tidegate_web.api.response_types_people import Invitation, Member, NewInvitationAnswer
from tidegate_web.audit.audited import audited
from tidegate_web.auth.guard import actor, caller, check_lasting, signed_in
from tidegate_web.auth.links import Sent, address_of, hand_over, invitation_mail
from tidegate_web.auth.tokens import new_token, token_hash
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries import members, users
from tidegate_web.store.queries.members import InvitationRow, MemberRow


def member_json(row: MemberRow) -> Member:
    return {
        "id": row.id,
        "email": row.email,
        "name": row.name,
        "role": Role(row.role).label,
        "byGroup": row.by_group,
        "disabled": row.disabled_at is not None,
        "createdAt": rfc3339(row.created),
    }


def invitation_json(row: InvitationRow) -> Invitation:
    return {
        "id": row.id,
        "email": row.email,
        "role": Role(row.role).label,
        "invitedBy": row.created_by,
        "createdAt": rfc3339(row.created),
        "expiresAt": rfc3339(row.expires),
    }


def role_named(label: str) -> Role:
    """The role of a label that was checked before."""
    role = Role.named(label)
    assert role is not None
    return role


def put_member(made: Services, project: str, user_id: int, role: Role) -> MemberRow:
    """Give a member another role. An admin of the installation, who sees all users, makes any of them a member so; others invite
    by address, since the answer has a user's address and name."""
    require_project(made, project, to_write=True)
    check_lasting("give a role")
    asks = caller()
    assert asks is not None
    with (
        audited(made, actor(), "member.put", project=project, target=str(user_id), detail={"role": role.label}),
        made.engine.begin() as connection,
    ):
        if not asks.instance_admin and not members.is_member(connection, project=project, user_id=user_id):
            raise Problem(404, "There is no such member. Invite people by their address.")
        if users.shown(connection, user_id=user_id) is None:
            raise Problem(404, "There is no such user.")
        members.put(connection, project=project, user_id=user_id, role=int(role), by=actor().name)
        return next(member for member in members.listed(connection, project=project) if member.id == user_id)


def remove_member(made: Services, project: str, user_id: int) -> None:
    """Take a membership away."""
    with (
        audited(made, actor(), "member.remove", project=project, target=str(user_id)),
        made.engine.begin() as connection,
    ):
        if not members.remove(connection, project=project, user_id=user_id):
            raise Problem(404, "There is no such member.")


def invite(made: Services, project: str, new: NewInvitation) -> tuple[InvitationRow, Sent]:
    """Ask somebody to join; they need not be a user yet."""
    require_project(made, project, to_write=True)
    check_lasting("invite anybody")
    asks = caller()
    assert asks is not None
    role, token = role_named(new.role), new_token()
    with audited(made, actor(), "invitation.create", project=project, target=new.email, detail={"role": role.label}):
        wanted = members.NewInvitation(
            project=project,
            email=new.email,
            role=int(role),
            token_hash=token_hash(token),
            created_by=actor().name,
            expires=made.clock.now() + timedelta(seconds=made.settings.link_seconds),
            mailed=made.mailer.configured,
        )
        with made.engine.begin() as connection:
            row = members.invite(connection, wanted)
        link = address_of(made, "auth.invitation", token=token)
        subject, text = invitation_mail(link, project=project, role=role.label, by=actor().name)
        return row, hand_over(made, to=new.email, subject=subject, text=text, link=link, may_see=asks.instance_admin)


def withdraw(made: Services, project: str, invitation_id: int) -> None:
    """Take an invitation back."""
    with (
        audited(made, actor(), "invitation.withdraw", project=project, target=str(invitation_id)),
        made.engine.begin() as connection,
    ):
        if members.withdraw(connection, project=project, invitation_id=invitation_id) is None:
            raise Problem(404, "There is no such invitation.")


def add_routes(area: Blueprint) -> None:
    """The routes of members and invitations."""

    @area.get("/projects/<project>/members")
    @requires(Permission.VIEWER)
    @describes("List members", answer=Items[Member])
    def list_members(project: str) -> Response:
        with services().engine.connect() as connection:
            rows = members.listed(connection, project=project)
        found: Items[Member] = {"items": [member_json(row) for row in rows]}
        return jsonify(found)

    @area.put("/projects/<project>/members/<id:user>")
    @requires(Permission.ADMIN)
    @describes("Give a member another role", name="put_member", body=MemberChange, answer=Member)
    def set_member(project: str, user: int) -> Response:
        role = role_named(bodies.read(MemberChange).role)
        return jsonify(member_json(put_member(services(), project, user, role)))

    @area.delete("/projects/<project>/members/<id:user>")
    @requires(Permission.ADMIN)
    @describes("Take a membership away", status=204)
    def delete_member(project: str, user: int) -> tuple[str, int]:
        remove_member(services(), project, user)
        return "", 204

    @area.delete("/projects/<project>/members/me")
    @requires(Permission.VIEWER)
    @describes("Leave a project", name="leave_project", status=204)
    def leave(project: str) -> tuple[str, int]:
        me = signed_in()
        if me is None:
            raise Problem(403, "A key is no member. Revoke it instead.")
        remove_member(services(), project, me.id)
        return "", 204

    @area.get("/projects/<project>/invitations")
    @requires(Permission.ADMIN)
    @describes("List open invitations", answer=Items[Invitation])
    def list_invitations(project: str) -> Response:
        with services().engine.connect() as connection:
            rows = members.invitations(connection, project=project)
        found: Items[Invitation] = {"items": [invitation_json(row) for row in rows]}
        return jsonify(found)

    @area.post("/projects/<project>/invitations")
    @requires(Permission.ADMIN)
    @describes(
        "Ask somebody to join", name="create_invitation", body=NewInvitation, answer=NewInvitationAnswer, status=201
    )
    def new_invitation(project: str) -> tuple[Response, int]:
        row, sent = invite(services(), project, bodies.read(NewInvitation))
        answer: NewInvitationAnswer = {**invitation_json(row), **sent.as_json()}
        return jsonify(answer), 201

    @area.delete("/projects/<project>/invitations/<id:invitation>")
    @requires(Permission.ADMIN)
    @describes("Take an invitation back", status=204)
    def delete_invitation(project: str, invitation: int) -> tuple[str, int]:
        withdraw(services(), project, invitation)
        return "", 204
