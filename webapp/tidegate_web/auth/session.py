"""Sessions: flask-login on top of rows in Postgres. The signed cookie carries a random token, the row its hash; signing
out deletes the row, and with it the session wherever its cookie has gone.
"""

from dataclasses import replace
from datetime import timedelta
from typing import cast

from flask import Response, g, redirect, request, session, url_for
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    current_user,
    login_user,
    logout_user,
)

from tidegate_web.auth.caller import Caller
from tidegate_web.auth.devices import remember_device
from tidegate_web.auth.tokens import new_token, token_hash
from tidegate_web.current_app import services
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Role
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import at_once, is_unavailable
from tidegate_web.store.queries import audit, users
from tidegate_web.store.queries.users import UserRow


class SessionUser(UserMixin):  # type: ignore[misc]
    """A signed-in user, known to flask-login by the session's token."""

    def __init__(self, caller: Caller, token: str) -> None:
        self.caller = caller
        self.token = token

    def get_id(self) -> str:
        return self.token


def session_token() -> str | None:
    """That of the session which asks."""
    return cast("str", current_user.token) if current_user.is_authenticated else None


def caller_of_session(made: Services, token: str) -> Caller | None:
    """Whose session this is, None when it is none (any more). While Postgres is away the last answer stands."""
    digest = token_hash(token)

    def look() -> Caller | None:
        with at_once(made.engine) as connection:
            found = users.session_user(
                connection, token_hash=digest, now=made.clock.now(), idle=made.settings.session_idle
            )
        if found is None:
            return None
        roles = {project: Role(role) for project, role in found.roles.items()}
        return Caller(name=found.user.email, user=found.user, roles=roles)

    def find() -> Caller | None:
        found = look()
        if found is None or found.user is None or found.user.groups_due is None:
            return found
        if not made.auth.group_check.is_time(found.user.groups_due):
            return replace(found, user=replace(found.user, groups_due=None))
        if not made.auth.group_check.still_good(digest):
            return None
        found = look()
        return found and replace(found, user=found.user and replace(found.user, groups_due=None))

    return made.auth.callers.ask(digest, find)


def open_session(
    user: UserRow, *, how: str = "password", refresh_token: str | None = None, by_groups: bool = False
) -> None:
    """Sign a user in: a new token, whatever the browser had before. ``by_groups``: what they are depends on groups of a provider,
    which are asked for again by the ``refresh_token``; without one the session is a short one."""
    made = services()
    now, longest = made.clock.now(), made.settings.session_max_seconds
    due = now + timedelta(seconds=made.settings.oidc_recheck_seconds)
    groups = None
    if by_groups and refresh_token is not None:
        groups = users.GroupSource(provider=how, refresh_token=made.auth.sealer.seal(refresh_token), due=due)
    elif by_groups:
        longest = min(longest, made.settings.oidc_recheck_seconds)
    token = new_token()
    address = request.remote_addr or ""
    with made.engine.begin() as connection:
        if not users.still_has(connection, user_id=user.id, password_hash=user.password_hash):
            raise Problem(409, "This account has just changed. Sign in again.")
        users.open_session(
            connection,
            token_hash=token_hash(token),
            user_id=user.id,
            expires=now + timedelta(seconds=longest),
            groups=groups,
            address=address,
            user_agent=request.user_agent.string.replace("\x00", ""),
        )
        audit.write(
            connection, actor=user.email, address=address, action="session.open", outcome="done", detail={"how": how}
        )
    remember_device(made.settings, user)
    session.clear()
    session.permanent = True
    login_user(SessionUser(Caller(name=user.email, user=user), token))


def close_session() -> None:
    """Sign out: the row goes, then the cookie."""
    if not current_user.is_authenticated:
        return
    made, digest = services(), token_hash(current_user.token)
    with made.engine.begin() as connection:
        users.close_session(connection, token_hash=digest)
        audit.write(
            connection,
            actor=current_user.caller.name,
            address=request.remote_addr or "",
            action="session.close",
            outcome="done",
        )
    made.auth.callers.forget(digest)
    logout_user()
    session.clear()


def to_login() -> Response:
    """Send a client to sign in, and back here afterwards."""
    here = None
    if request.method == "GET" and request.path != "/":
        here = request.full_path.rstrip("?")
    return cast("Response", redirect(url_for("auth.login", next=here)))


def _load(token: str) -> SessionUser | None:
    try:
        caller = caller_of_session(services(), token)
    except Exception as error:
        if not is_unavailable(error):
            raise
        g.postgres_away = True
        return None
    return None if caller is None else SessionUser(caller, token)


def make_login_manager() -> LoginManager:
    """flask-login, with the way to find a session's user."""
    manager = LoginManager()
    manager.session_protection = None  # the token is what counts; addresses change on the road
    manager.user_loader(_load)
    return manager
