"""Who is asking: flask-login on top of session rows in Postgres. The signed cookie carries a random token, the row
its hash; signing out deletes the row, and with it the session wherever its cookie has gone.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import cast

from flask import Flask, Response, current_app, g, redirect, request, session, url_for
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    current_user,
    login_user,
    logout_user,
)
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

from tidegate_web.permissions import Permission, allowed, permission_of
from tidegate_web.problems import Problem
from tidegate_web.services import services
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import audit, users
from tidegate_web.store.queries.users import UserRow

API_PREFIXES = ("/api/", "/internal/", "/live/")


class SessionUser(UserMixin):  # type: ignore[misc]
    """A signed-in user, known to flask-login by the session's token."""

    def __init__(self, row: UserRow, token: str) -> None:
        self.row = row
        self.token = token

    def get_id(self) -> str:
        return self.token


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def signed_in() -> UserRow | None:
    """Whoever asks, None without a good session."""
    return cast("UserRow", current_user.row) if current_user.is_authenticated else None


def whoever() -> str:
    """Whom to name in the audit log and on what is written to the cluster."""
    user = signed_in()
    return user.email if user is not None else "nobody"


def session_is_good(token: str) -> UserRow | None:
    """Look a session up again, as long-lived streams do."""
    made = services()
    with made.engine.begin() as connection:
        return users.session_user(
            connection,
            token_hash=token_hash(token),
            now=made.clock.now(),
            idle=timedelta(seconds=made.settings.session_idle_seconds),
        )


def open_session(user: UserRow) -> None:
    """Sign somebody in: a new token, whatever the browser had before."""
    made = services()
    token = secrets.token_urlsafe(32)
    with made.engine.begin() as connection:
        users.open_session(
            connection,
            token_hash=token_hash(token),
            user_id=user.id,
            expires=made.clock.now() + timedelta(seconds=made.settings.session_max_seconds),
            address=request.remote_addr or "",
            user_agent=request.user_agent.string,
        )
        audit.write(
            connection, actor=user.email, address=request.remote_addr or "", action="session.open", outcome="done"
        )
    session.clear()
    session.permanent = True
    login_user(SessionUser(user, token))


def close_session() -> None:
    """Sign out: the row goes, then the cookie."""
    if not current_user.is_authenticated:
        return
    with services().engine.begin() as connection:
        users.close_session(connection, token_hash=token_hash(current_user.token))
        audit.write(
            connection, actor=whoever(), address=request.remote_addr or "", action="session.close", outcome="done"
        )
    logout_user()
    session.clear()


def wants_json() -> bool:
    return request.path.startswith(API_PREFIXES)


def _load(token: str) -> SessionUser | None:
    try:
        row = session_is_good(token)
    except Exception as error:
        if not is_unavailable(error):
            raise
        g.postgres_away = True
        return None
    return None if row is None else SessionUser(row, token)


def _check_permission() -> Response | None:
    """Before every view: what it declares is checked; one that declares nothing is refused."""
    if request.endpoint is None or request.endpoint == "static":
        return None  # 404 and 405 are answered by Flask
    permission = permission_of(current_app.view_functions.get(request.endpoint))
    if permission is None:
        raise Problem(403, "This route has no permission declared.")
    if permission is Permission.PUBLIC or allowed(permission, signed_in(), request.view_args or {}):
        return None
    if g.get("postgres_away"):
        raise Problem(503, "The database doesn't answer.", headers={"Retry-After": "5"})
    if signed_in() is None:
        if wants_json():
            raise Problem(401, "Sign in first.", headers={"WWW-Authenticate": "Bearer"})
        return cast("Response", redirect(url_for("auth.login", next=_here())))
    raise Problem(403, "You may not do this.")


def _here() -> str | None:
    if request.method != "GET":
        return None
    return request.full_path.rstrip("?") if request.path != "/" else None


def _csrf_failed(error: CSRFError) -> Response:
    return Problem(403, f"{error.description} Reload the page and try again.").response()


def install(app: Flask) -> CSRFProtect:
    """Put sign-in, CSRF and the permission check into an app."""
    manager = LoginManager()
    manager.session_protection = None  # the token is what counts; addresses change on the road
    manager.init_app(app)
    manager.user_loader(_load)
    csrf = CSRFProtect(app)
    app.register_error_handler(CSRFError, _csrf_failed)
    app.before_request(_check_permission)
    return csrf
