"""Signing in and out, choosing a password by a link, and joining a project by one."""

import hashlib
from dataclasses import replace

from flask import Blueprint, redirect, render_template, request, url_for
from sqlalchemy import Connection
from werkzeug.wrappers import Response

from tidegate_web.auth import external, invitations
from tidegate_web.auth.addresses import base_url
from tidegate_web.auth.client_network import client_network
from tidegate_web.auth.devices import device_of_request
from tidegate_web.auth.first_proof import EndedAccess, prove
from tidegate_web.auth.guard import signed_in
from tidegate_web.auth.links import keep_password_link, password_mail, password_page
from tidegate_web.auth.passwords import LEAST_SIGNS
from tidegate_web.auth.paths import local_path
from tidegate_web.auth.session import close_session, open_session
from tidegate_web.auth.sign_out import end_sessions
from tidegate_web.auth.tokens import new_token, token_hash
from tidegate_web.current_app import services
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import audit, users
from tidegate_web.store.queries.users import UserRow

NO_USER = "(no such user)"
"""Stands in the audit log for an address of mail that no user has."""
SHORT_PASSWORD = f"Choose a password of at least {LEAST_SIGNS} characters."


def _given(name: str, *, most: int) -> str:
    """A field of the form, cut to what is sensible."""
    return request.form.get(name, "").replace("\x00", "")[:most]


def _address() -> str:
    return request.remote_addr or ""


def _login_page(*, target: str | None, email: str = "", error: str | None = None) -> str:
    made = services()
    return render_template(
        "login.html",
        providers=external.providers().values(),
        next=target,
        email=email,
        error=error,
        passwords=made.settings.passwords,
        may_reset=made.auth.mailer.configured,
    )


def _by_password(made: Services, *, email: str, password: str) -> UserRow | None:
    """Whom email and password stand for. 429 for a client that must wait, 503 when too many sign in at once: both before the hash."""
    device = device_of_request(made.settings)
    user = _user_of(made, email) if device is not None else None
    known = device.id if device is not None and user is not None and device.knows(user) else None
    network = client_network(_address())
    limits = made.settings.sign_in_limits.sign_in(mail=_digest(email), network=network, device=known)
    wait = made.auth.throttle.take(limits)
    if wait:
        raise Problem(429, _wait_words(wait), headers={"Retry-After": str(wait)})
    try:
        user = user or _user_of(made, email)
        right = made.auth.hasher.check(user.password_hash if user else None, password)
    except Exception:
        made.auth.throttle.give_back(limits)  # nothing was guessed
        raise
    if user is None or not right:
        with made.engine.begin() as connection:
            _count(
                made,
                connection,
                user,
                email=email,
                network=network,
                action="session.open",
                outcome="wrong password",
            )
        return None
    made.auth.throttle.succeeded(limits)
    was = user.password_hash
    if was and made.auth.hasher.outdated(was):
        digest = made.auth.hasher.hash(password)
        with made.engine.begin() as connection:
            if users.replace_password_hash(connection, user_id=user.id, was=was, password_hash=digest):
                return replace(user, password_hash=digest)
    return user


def _count(
    made: Services, connection: Connection, user: UserRow | None, *, email: str, network: str, action: str, outcome: str
) -> None:
    """Write down an attempt. Those with addresses of no user are one entry for each network: there is no end of such addresses."""
    audit.count(
        connection,
        actor=NO_USER if user is None else email,
        address=network,
        action=action,
        outcome="no such user" if user is None else outcome,
        now=made.clock.now(),
        window_seconds=made.settings.login_window_seconds,
        detail={"email": email} if user is None else None,
    )


def _user_of(made: Services, email: str) -> UserRow | None:
    with made.engine.begin() as connection:
        return users.by_email(connection, email)


def _digest(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest()[:32]


def _wait_words(seconds: int) -> str:
    if seconds < 90:
        return f"Too many wrong passwords. Try again in {seconds} second{'s' if seconds > 1 else ''}."
    return f"Too many wrong passwords. Try again in {(seconds + 59) // 60} minutes."


def _send_password_link(made: Services, email: str) -> None:
    """Mail a link, when there is such a user, after the answer: so its time reveals nothing."""
    token, network = new_token(), client_network(_address())
    subject, text = password_mail(password_page(base_url(made), token))

    def send() -> None:
        with made.engine.begin() as connection:
            user = users.by_email(connection, email)
            if user is not None:
                seconds = made.settings.password_link_seconds
                keep_password_link(made, connection, token=token, user_id=user.id, seconds=seconds)
            _count(made, connection, user, email=email, network=network, action="user.forgot-password", outcome="done")
        if user is not None:
            made.auth.mailer.send(to=email, subject=subject, text=text)

    made.auth.mailer.later(send)


def blueprint() -> Blueprint:
    """The routes of this area."""
    area = Blueprint("auth", __name__)
    external.add_routes(area, login_page=_login_page)

    @area.get("/login")
    @requires(Permission.PUBLIC)
    def login() -> Response | str:
        target = local_path(request.args.get("next"))
        if signed_in() is not None:
            return redirect(target or url_for("pages.home"))
        return _login_page(target=target)

    @area.post("/login")
    @requires(Permission.PUBLIC)
    def sign_in() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
        made = services()
        if not made.settings.passwords:
            raise Problem(403, "Passwords are turned off here.")
        email = _given("email", most=320).strip().lower()
        target = local_path(request.form.get("next"))
        try:
            user = _by_password(made, email=email, password=request.form.get("password", "")[:1024])
        except Problem as problem:
            page = _login_page(target=target, email=email, error=problem.detail)
            return page, problem.status, problem.headers
        if user is None:
            return _login_page(target=target, email=email, error="Wrong email or password."), 401
        open_session(user)
        return redirect(target or url_for("pages.home"), code=303)

    @area.post("/logout")
    @requires(Permission.PERSON)
    def logout() -> Response:
        close_session()
        return redirect(url_for("auth.login"), code=303)

    @area.get("/forgot")
    @requires(Permission.PUBLIC)
    def forgot() -> str:
        made = services()
        if not made.settings.passwords or not made.auth.mailer.configured:
            raise Problem(404, "Ask an admin for a link to choose a new password.")
        return render_template("forgot.html", sent=False)

    @area.post("/forgot")
    @requires(Permission.PUBLIC)
    def send_link() -> str:
        made = services()
        if not made.settings.passwords or not made.auth.mailer.configured:
            raise Problem(404, "Ask an admin for a link to choose a new password.")
        email = _given("email", most=320).strip().lower()
        limits = made.settings.sign_in_limits
        wait = made.auth.throttle.take(limits.forgot(network=client_network(_address())))
        if wait:
            detail = "Too many links were asked for. Try again later."
            raise Problem(429, detail, headers={"Retry-After": str(wait)})
        # No mailbox is to be filled from here, and no client is to learn that it was.
        if not made.auth.throttle.take(limits.forgot_mail(mail=_digest(email))):
            _send_password_link(made, email)
        return render_template("forgot.html", sent=True, email=email)

    @area.get("/password/<token>")
    @requires(Permission.PUBLIC)
    def choose_password(token: str) -> str:
        return render_template("choose_password.html", email=_whose(services(), token))

    @area.post("/password/<token>")
    @requires(Permission.PUBLIC)
    def set_password(token: str) -> Response | tuple[str, int]:
        made = services()
        email = _whose(made, token)
        password = request.form.get("password", "")
        if not LEAST_SIGNS <= len(password) <= 1024:
            return render_template("choose_password.html", email=email, error=SHORT_PASSWORD), 422
        digest = made.auth.hasher.hash(password)
        with made.engine.begin() as connection:
            spent = users.use_password_link(connection, token_hash=token_hash(token), now=made.clock.now())
            if spent is None:
                raise _bad_link()
            ended = EndedAccess()
            if spent.mailed:
                now = made.clock.now()
                ended = prove(connection, user_id=spent.user_id, now=now, actor=email, address=_address())
            users.set_password_hash(connection, user_id=spent.user_id, password_hash=digest)
            users.remove_password_links(connection, user_id=spent.user_id)
            audit.write(
                connection, actor=email, address=_address(), action="user.choose-password", outcome="done", target=email
            )
            user = users.by_email(connection, email)
        ended.forget(made.auth.callers)
        end_sessions(made, user_id=spent.user_id)
        assert user is not None
        open_session(user, how="password link")
        return redirect(url_for("pages.home"), code=303)

    @area.get("/invitations/<token>")
    @requires(Permission.PUBLIC)
    def invitation(token: str) -> str:
        return _invitation_page(services(), token)

    @area.post("/invitations/<token>")
    @requires(Permission.PUBLIC)
    def accept_invitation(token: str) -> Response | tuple[str, int]:
        made, me = services(), signed_in()
        password = request.form.get("password", "") if made.settings.passwords else ""
        found = invitations.opened(made, token)
        if found is None:
            raise _bad_link()
        if me is not None and me.email != found.email:
            raise Problem(409, f"This invitation is for {found.email}. Sign out first.")
        if me is None and not found.known and not LEAST_SIGNS <= len(password) <= 1024:
            return _invitation_page(made, token, error=SHORT_PASSWORD), 422
        user = invitations.accept(
            made,
            token,
            address=_address(),
            me=me,
            password_hash=made.auth.hasher.hash(password) if password else None,
            name=_given("name", most=200).strip(),
        )
        if me is None:
            open_session(user, how="invitation")
        return redirect(url_for("pages.list_runs", project=found.project), code=303)

    return area


def _bad_link() -> Problem:
    return Problem(404, "This link is not valid any more. Ask for a new one.")


def _whose(made: Services, token: str) -> str:
    """The email of the user whose password a link sets."""
    if not made.settings.passwords:
        raise Problem(403, "Passwords are turned off here.")
    with made.engine.connect() as connection:
        row = users.password_link(connection, token_hash=token_hash(token), now=made.clock.now())
    if row is None:
        raise _bad_link()
    email: str = row.email
    return email


def _invitation_page(made: Services, token: str, *, error: str | None = None) -> str:
    found = invitations.opened(made, token)
    if found is None:
        raise _bad_link()
    return render_template(
        "invitation.html",
        invitation=found,
        role=Role(found.role).label,
        known=found.known,
        passwords=made.settings.passwords,
        error=error,
    )
