"""The first admin, made at install: the chart generates a password into a Secret, and this makes the user for it."""

from sqlalchemy import Connection

from tidegate_web.auth.passwords import Passwords
from tidegate_web.settings import WebSettings
from tidegate_web.shared.clock import SystemClock
from tidegate_web.store.queries import audit, users


class AdminSettingsError(RuntimeError):
    """The admin's address or password isn't set."""


def create_admin(connection: Connection, settings: WebSettings) -> bool:
    """Make the admin that the settings name; False when there is a user of that address, who is left alone."""
    email = settings.admin_email
    password = settings.admin_password.get_secret_value() if settings.admin_password else ""
    if not email or not password:
        raise AdminSettingsError("set TIDEGATE_ADMIN_EMAIL and TIDEGATE_ADMIN_PASSWORD")
    user_id = users.create(
        connection,
        email=email,
        name=email.partition("@")[0],
        password_hash=Passwords().hash(password),
        instance_admin=True,
        # The installer says whose address it is, and could make themselves admin in any case.
        email_proved=SystemClock().now(),
    )
    if user_id is not None:
        audit.write(connection, actor="install", address="", action="user.create", outcome="done", target=email)
    return user_id is not None
