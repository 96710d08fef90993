"""Signing in and out."""

from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from tidegate_web.auth.passwords import Passwords
from tidegate_web.auth.session import close_session, open_session, signed_in
from tidegate_web.permissions import Permission, requires
from tidegate_web.services import services
from tidegate_web.store.queries import audit, users


def local_path(target: str | None) -> str | None:
    """The target when it is a path of this site, so that a sign-in can't send anyone elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return None
    if any(ord(sign) < 32 for sign in target):
        return None
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else None


def blueprint() -> Blueprint:
    """The routes of this area."""
    area = Blueprint("auth", __name__)
    passwords = Passwords()

    @area.get("/login")
    @requires(Permission.PUBLIC)
    def login() -> Response | str:
        if signed_in() is not None:
            return redirect(url_for("pages.home"))
        return render_template("login.html", next=local_path(request.args.get("next")))

    @area.post("/login")
    @requires(Permission.PUBLIC)
    def sign_in() -> Response | tuple[str, int]:
        made = services()
        email = request.form.get("email", "").strip().lower().replace("\x00", "")[:320]
        password = request.form.get("password", "")[:1024]
        target = local_path(request.form.get("next"))
        address = request.remote_addr or ""
        wait = made.throttle.wait_seconds(address=address, email=email)
        if wait:
            minutes = (wait + 59) // 60
            message = f"Too many wrong passwords. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
            return render_template("login.html", email=email, next=target, error=message), 429
        with made.engine.begin() as connection:
            user = users.by_email(connection, email)
        if not passwords.check(user.password_hash if user else None, password) or user is None:
            made.throttle.failed(address=address, email=email)
            with made.engine.begin() as connection:
                audit.write(connection, actor=email, address=address, action="session.open", outcome="wrong password")
            return (
                render_template("login.html", email=email, next=target, error="Wrong email or password."),
                401,
            )
        made.throttle.succeeded(address=address, email=email)
        if user.password_hash and passwords.outdated(user.password_hash):
            with made.engine.begin() as connection:
                users.set_password_hash(connection, user_id=user.id, password_hash=passwords.hash(password))
        open_session(user)
        return redirect(target or url_for("pages.home"), code=303)

    @area.post("/logout")
    @requires(Permission.SIGNED_IN)
    def logout() -> Response:
        close_session()
        return redirect(url_for("auth.login"), code=303)

    return area
