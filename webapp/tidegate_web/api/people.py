"""People over HTTP: oneself and one's sessions; users, for admins of the installation."""

from flask import Blueprint, Response, jsonify

from tidegate_web.accounts import own_account, users
from tidegate_web.accounts.own_account import OwnSession
from tidegate_web.accounts.users import AccountChange
from tidegate_web.api import bodies
from tidegate_web.api.keys import owned_key_json
from tidegate_web.api.models import NewUser, PasswordChange, UserChange
from tidegate_web.api.parameters import AFTER_ID, LIMIT
from tidegate_web.api.response_types import Items, Page
from tidegate_web.api.response_types_people import Me, NewUserAnswer, OwnedApiKey, Session, User
from tidegate_web.auth.addresses import base_url
from tidegate_web.auth.caller import Caller
from tidegate_web.auth.guard import actor, caller
from tidegate_web.auth.links import SentLink
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries.users import AccountRow


def user_json(row: AccountRow) -> User:
    return {
        "id": row.id,
        "email": row.email,
        "name": row.name,
        "instanceAdmin": row.instance_admin,
        "disabled": row.disabled_at is not None,
        "hasPassword": row.has_password,
        "createdAt": rfc3339(row.created),
    }


def session_json(session: OwnSession) -> Session:
    row = session.row
    return {
        "id": row.id,
        "current": session.current,
        "address": row.address,
        "userAgent": row.user_agent,
        "createdAt": rfc3339(row.created),
        "lastSeenAt": rfc3339(row.last_seen),
        "expiresAt": rfc3339(row.expires),
    }


def change_of(body: UserChange) -> AccountChange:
    """What a body changes of a user."""
    return AccountChange(
        email=body.email,
        name=body.name,
        instance_admin=body.instance_admin,
        disabled=body.disabled,
        keys_to=body.keys_to,
    )


def me_json(asks: Caller) -> Me:
    return {
        "name": asks.name,
        "kind": "user" if asks.user else "api-key",
        "email": asks.user.email if asks.user else None,
        "displayName": asks.user.name if asks.user else None,
        "instanceAdmin": asks.instance_admin,
        "roles": {project: role.label for project, role in sorted(asks.roles.items())},
        "tasks": None if asks.tasks is None else sorted(asks.tasks),
    }


def add_routes(area: Blueprint) -> None:
    """The routes of people."""

    @area.get("/me")
    @requires(Permission.SIGNED_IN)
    @describes("Look at the caller", name="get_me", answer=Me)
    def me() -> Response:
        asks = caller()
        assert asks is not None
        return jsonify(me_json(asks))

    @area.post("/me/password")
    @requires(Permission.PERSON)
    @describes("Replace one's own password", body=PasswordChange, status=204)
    def set_password() -> tuple[str, int]:
        change = bodies.read(PasswordChange)
        own_account.change_password(services(), actor(), current=change.current, new=change.new)
        return "", 204

    @area.get("/sessions")
    @requires(Permission.PERSON)
    @describes("List one's own sessions", answer=Items[Session])
    def list_sessions() -> Response:
        found: Items[Session] = {"items": [session_json(one) for one in own_account.sessions(services(), actor())]}
        return jsonify(found)

    @area.delete("/sessions")
    @requires(Permission.PERSON)
    @describes("Sign out everywhere else", name="end_other_sessions", status=204)
    def end_others() -> tuple[str, int]:
        own_account.end_own_sessions(services(), actor())
        return "", 204

    @area.delete("/sessions/<id:session>")
    @requires(Permission.PERSON)
    @describes("Sign out one session", name="end_session", status=204)
    def end_one(session: int) -> tuple[str, int]:
        own_account.end_own_sessions(services(), actor(), session_id=session)
        return "", 204

    @area.get("/users")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("List users", parameters=[LIMIT, AFTER_ID], answer=Page[User])
    def list_users() -> Response:
        limit = LIMIT.asked()
        rows = users.listed(services(), after=AFTER_ID.asked(), limit=limit + 1)
        piece, last = cut(rows, limit)
        page: Page[User] = {
            "items": [user_json(row) for row in piece],
            "after": None if last is None else str(last.id),
        }
        return jsonify(page)

    @area.post("/users")
    @requires(Permission.INSTANCE_ADMIN)
    @describes(
        "Make a user",
        name="create_user",
        body=NewUser,
        answer=NewUserAnswer,
        status=201,
        headers=("Location",),
        problems=(409,),
    )
    def new_user() -> tuple[Response, int]:
        made, new = services(), bodies.read(NewUser)
        row, sent = users.create(
            made, actor(), email=new.email, name=new.name, instance_admin=new.instance_admin, base=base_url(made)
        )
        answer: NewUserAnswer = {**user_json(row), **sent.as_json()}
        response = jsonify(answer)
        response.headers["Location"] = f"/api/v1/users/{row.id}"
        return response, 201

    @area.get("/users/<id:user>")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("Look at a user", answer=User)
    def get_user(user: int) -> Response:
        return jsonify(user_json(users.find(services(), user)))

    @area.patch("/users/<id:user>")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("Change a user", body=UserChange, answer=User, problems=(409,))
    def patch_user(user: int) -> Response:
        return jsonify(user_json(users.change(services(), actor(), user, change_of(bodies.read(UserChange)))))

    @area.get("/users/<id:user>/api-keys")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("List the API keys that a user answers for", name="list_keys_of_user", answer=Items[OwnedApiKey])
    def list_keys(user: int) -> Response:
        _, rows = users.with_keys(services(), user)
        found: Items[OwnedApiKey] = {"items": [owned_key_json(row) for row in rows]}
        return jsonify(found)

    @area.post("/users/<id:user>:reset-password")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("Have a user choose another password", name="reset_password", answer=SentLink)
    def reset(user: int) -> Response:
        made = services()
        return jsonify(users.reset_password(made, actor(), user, base=base_url(made)).as_json())
