"""People over HTTP: oneself and one's sessions; users, for admins of the installation."""

from collections.abc import Sequence

from flask import Blueprint, Response, jsonify, request

from tidegate_web.api import bodies
from tidegate_web.api.keys import owned_key_json
from tidegate_web.api.models import NewUser, PasswordChange, UserChange
from tidegate_web.api.parameters import AFTER_ID, LIMIT
from tidegate_web.api.response_types import Items, Page
from tidegate_web.api.response_types_people import Me, NewUserAnswer, OwnedApiKey, Session, User
from tidegate_web.audit.audited import audited
from tidegate_web.auth.caller import Caller
from tidegate_web.auth.guard import actor, caller, person
from tidegate_web.auth.leaving import part_from_keys
from tidegate_web.auth.links import Sent, SentLink, hand_over, password_link, password_mail
from tidegate_web.auth.session import end_sessions, session_token
from tidegate_web.auth.tokens import token_hash
from tidegate_web.current_app import services
from tidegate_web.openapi.operations import describes
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.queries import keys, users
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


def create_user(made: Services, new: NewUser) -> tuple[AccountRow, Sent]:
    """Make a user, and the link with which they choose a password."""
    with audited(made, actor(), "user.create", target=new.email, detail={"instanceAdmin": new.instance_admin}):
        with made.engine.begin() as connection:
            user_id = users.create(
                connection,
                email=new.email,
                name=new.name or new.email.partition("@")[0],
                password_hash=None,
                instance_admin=new.instance_admin,
            )
            if user_id is None:
                raise Problem(409, "Somebody has this address already.")
            link = password_link(made, connection, user_id=user_id, seconds=made.settings.link_seconds)
            row = users.shown(connection, user_id=user_id)
        assert row is not None
        subject, text = password_mail(link)
        return row, hand_over(made, to=new.email, subject=subject, text=text, link=link, may_see=True)


def change_user(made: Services, user_id: int, change: UserChange) -> AccountRow:
    """Rename, disable or enable somebody, give them another address, make them an admin of the installation or no longer one."""
    named = change.model_dump(exclude_none=True, by_alias=True)
    ended: Sequence[bytes] = ()
    with audited(made, actor(), "user.change", target=str(user_id), detail=named):
        with made.engine.begin() as connection:
            if users.shown(connection, user_id=user_id) is None:
                raise Problem(404, "There is no such user.")
            row = users.locked(connection, user_id=user_id)
            loses = row.instance_admin and (change.instance_admin is False or change.disabled)
            if loses and not users.other_admins(connection, than=user_id):
                raise Problem(409, "This is the last admin of the installation.")
            values: JsonObject = {}
            if change.name is not None:
                values["name"] = change.name
            if change.email is not None and change.email != row.email:
                if users.any_by_email(connection, change.email) is not None:
                    raise Problem(409, "Somebody has this address already.")
                values |= {"email": change.email, "email_proved": None}
            if change.instance_admin is not None:
                values["instance_admin"] = change.instance_admin
            if change.disabled is not None and change.disabled != (row.disabled_at is not None):
                values["disabled_at"] = made.clock.now() if change.disabled else None
            if values:
                users.change(connection, user_id=user_id, values=values)
            if change.disabled:
                ended = part_from_keys(
                    connection,
                    owner=row,
                    to=change.keys_to,
                    now=made.clock.now(),
                    actor=actor().name,
                    address=request.remote_addr or "",
                )
            row = users.locked(connection, user_id=user_id)
        # What Redis remembers of them says what they were.
        made.callers.forget(*ended)
        if change.disabled or change.instance_admin is False:
            end_sessions(made, user_id=user_id)
        return row


def reset_password(made: Services, user_id: int) -> Sent:
    """A link with which a user chooses a new password."""
    with audited(made, actor(), "user.reset-password", target=str(user_id)):
        with made.engine.begin() as connection:
            row = users.shown(connection, user_id=user_id)
            if row is None or row.disabled_at is not None:
                raise Problem(404, "There is no such user.")
            link = password_link(made, connection, user_id=user_id, seconds=made.settings.password_link_seconds)
        subject, text = password_mail(link)
        return hand_over(made, to=row.email, subject=subject, text=text, link=link, may_see=True)


def change_password(made: Services, change: PasswordChange) -> None:
    """Replace one's own password; all other sessions end."""
    me = person()
    if not made.settings.passwords:
        raise Problem(403, "Passwords are turned off here.")
    with audited(made, actor(), "user.change-password", target=me.email):
        token = session_token()
        assert token is not None
        # By the session alone: nobody's failures elsewhere hold up somebody who is signed in.
        limits = [made.settings.sign_in_limits.known(f"session:{token_hash(token).hex()}")]
        wait = made.throttle.take(limits)
        if wait:
            raise Problem(429, "Too many wrong passwords.", headers={"Retry-After": str(wait)})
        with made.engine.begin() as connection:
            known = users.by_email(connection, me.email)
            right = made.hasher.check(known.password_hash if known else None, change.current)
            if known is None or known.password_hash is None or not right:
                raise Problem(403, "That isn't your password.")
            made.throttle.succeeded(limits)
            was, digest = known.password_hash, made.hasher.hash(change.new)
            if not users.replace_password_hash(connection, user_id=me.id, was=was, password_hash=digest):
                raise Problem(409, "This password has just changed. Sign in again.")
        end_sessions(made, user_id=me.id, but_token=session_token())


def my_sessions(made: Services) -> list[Session]:
    """One's own sessions, and which of them asks."""
    token = session_token()
    here = token_hash(token) if token else b""
    with made.engine.connect() as connection:
        rows = users.sessions(connection, user_id=person().id, now=made.clock.now(), idle=made.settings.session_idle)
    return [
        {
            "id": row.id,
            "current": bytes(row.token_hash) == here,
            "address": row.address,
            "userAgent": row.user_agent,
            "createdAt": rfc3339(row.created),
            "lastSeenAt": rfc3339(row.last_seen),
            "expiresAt": rfc3339(row.expires),
        }
        for row in rows
    ]


def end_my_sessions(made: Services, *, session_id: int | None = None) -> None:
    """Sign out one of one's sessions, or all others."""
    with audited(made, actor(), "session.end", target="others" if session_id is None else str(session_id)):
        ended = end_sessions(
            made,
            user_id=person().id,
            session_id=session_id,
            but_token=session_token() if session_id is None else None,
        )
        if session_id is not None and not ended:
            raise Problem(404, "There is no such session.")


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
    @describes("Tell who asks", name="get_me", answer=Me)
    def me() -> Response:
        asks = caller()
        assert asks is not None
        return jsonify(me_json(asks))

    @area.post("/me/password")
    @requires(Permission.PERSON)
    @describes("Replace one's own password", body=PasswordChange, status=204)
    def set_password() -> tuple[str, int]:
        change_password(services(), bodies.read(PasswordChange))
        return "", 204

    @area.get("/sessions")
    @requires(Permission.PERSON)
    @describes("List one's own sessions", answer=Items[Session])
    def list_sessions() -> Response:
        found: Items[Session] = {"items": my_sessions(services())}
        return jsonify(found)

    @area.delete("/sessions")
    @requires(Permission.PERSON)
    @describes("Sign out everywhere else", name="end_other_sessions", status=204)
    def end_others() -> tuple[str, int]:
        end_my_sessions(services())
        return "", 204

    @area.delete("/sessions/<id:session>")
    @requires(Permission.PERSON)
    @describes("Sign out one session", name="end_session", status=204)
    def end_one(session: int) -> tuple[str, int]:
        end_my_sessions(services(), session_id=session)
        return "", 204

    @area.get("/users")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("List users", parameters=[LIMIT, AFTER_ID], answer=Page[User])
    def list_users() -> Response:
        limit = LIMIT.asked()
        with services().engine.connect() as connection:
            rows = users.listed(connection, after=AFTER_ID.asked(), limit=limit + 1)
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
        row, sent = create_user(services(), bodies.read(NewUser))
        answer: NewUserAnswer = {**user_json(row), **sent.as_json()}
        response = jsonify(answer)
        response.headers["Location"] = f"/api/v1/users/{row.id}"
        return response, 201

    @area.get("/users/<id:user>")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("Look at a user", answer=User)
    def get_user(user: int) -> Response:
        with services().engine.connect() as connection:
            row = users.shown(connection, user_id=user)
        if row is None:
            raise Problem(404, "There is no such user.")
        return jsonify(user_json(row))

    @area.patch("/users/<id:user>")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("Change a user", body=UserChange, answer=User, problems=(409,))
    def patch_user(user: int) -> Response:
        return jsonify(user_json(change_user(services(), user, bodies.read(UserChange))))

    @area.get("/users/<id:user>/api-keys")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("List the API keys that a user answers for", name="list_keys_of_user", answer=Items[OwnedApiKey])
    def list_keys(user: int) -> Response:
        with services().engine.connect() as connection:
            if users.shown(connection, user_id=user) is None:
                raise Problem(404, "There is no such user.")
            rows = keys.owned(connection, owner_id=user)
        found: Items[OwnedApiKey] = {"items": [owned_key_json(row) for row in rows]}
        return jsonify(found)

    @area.post("/users/<id:user>:reset-password")
    @requires(Permission.INSTANCE_ADMIN)
    @describes("Have a user choose another password", name="reset_password", answer=SentLink)
    def reset(user: int) -> Response:
        return jsonify(reset_password(services(), user).as_json())
