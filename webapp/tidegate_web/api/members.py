"""Members of a project over HTTP, and invitations to become one."""

from flask import Blueprint, Response, jsonify

from tidegate_web.api import bodies
from tidegate_web.api.models import MemberChange, NewInvitation
from tidegate_web.api.response_types import Items
from tidegate_web.api.response_types_people import Invitation, Member, NewInvitationAnswer
from tidegate_web.auth.addresses import base_url
from tidegate_web.auth.guard import actor
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.projects import members
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.times import rfc3339
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


def add_routes(area: Blueprint) -> None:
    """The routes of members and invitations."""

    @area.get("/projects/<project>/members")
    @requires(Permission.VIEWER)
    @describes("List members", answer=Items[Member])
    def list_members(project: str) -> Response:
        found: Items[Member] = {"items": [member_json(row) for row in members.listed(services(), project)]}
        return jsonify(found)

    @area.put("/projects/<project>/members/<id:user>")
    @requires(Permission.ADMIN)
    @describes("Give a member another role", name="put_member", body=MemberChange, answer=Member)
    def set_member(project: str, user: int) -> Response:
        role = role_named(bodies.read(MemberChange).role)
        return jsonify(member_json(members.put(services(), actor(), project, user, role)))

    @area.delete("/projects/<project>/members/<id:user>")
    @requires(Permission.ADMIN)
    @describes("Take a membership away", status=204)
    def delete_member(project: str, user: int) -> tuple[str, int]:
        members.remove(services(), actor(), project, user)
        return "", 204

    @area.delete("/projects/<project>/members/me")
    @requires(Permission.VIEWER)
    @describes("Leave a project", name="leave_project", status=204)
    def leave(project: str) -> tuple[str, int]:
        members.leave(services(), actor(), project)
        return "", 204

    @area.get("/projects/<project>/invitations")
    @requires(Permission.ADMIN)
    @describes("List open invitations", answer=Items[Invitation])
    def list_invitations(project: str) -> Response:
        open_ones = members.invitations(services(), project)
        found: Items[Invitation] = {"items": [invitation_json(row) for row in open_ones]}
        return jsonify(found)

    @area.post("/projects/<project>/invitations")
    @requires(Permission.ADMIN)
    @describes(
        "Invite an address", name="create_invitation", body=NewInvitation, answer=NewInvitationAnswer, status=201
    )
    def new_invitation(project: str) -> tuple[Response, int]:
        made, new = services(), bodies.read(NewInvitation)
        role = role_named(new.role)
        row, sent = members.invite(made, actor(), project, email=new.email, role=role, base=base_url(made))
        answer: NewInvitationAnswer = {**invitation_json(row), **sent.as_json()}
        return jsonify(answer), 201

    @area.delete("/projects/<project>/invitations/<id:invitation>")
    @requires(Permission.ADMIN)
    @describes("Take an invitation back", status=204)
    def delete_invitation(project: str, invitation: int) -> tuple[str, int]:
        members.withdraw(services(), actor(), project, invitation)
        return "", 204
